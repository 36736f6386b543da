"""A phantom taken through the whole pipeline, to see it work without a scanner or a cluster."""
