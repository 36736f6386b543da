"""`neuroflow config`: show, validate and describe the configuration."""

from __future__ import annotations

import json

import click

from neuroflow.cli.arguments import examples


@click.group("config", epilog=examples("neuroflow config validate", "neuroflow config show --json"))
def config_group() -> None:
    """Show, check and describe the configuration."""


@config_group.command("show", epilog=examples("neuroflow config show", "neuroflow config show --json"))
@click.option("--json", "as_json", is_flag=True, help="Write JSON: values, sources and files.")
@click.pass_context
def show(context: click.Context, as_json: bool) -> None:
    """Show every setting, and where it comes from; secrets are hidden."""
    from neuroflow.config import NeuroflowConfig
    from neuroflow.config.show import as_yaml, shown_values, sources

    config = NeuroflowConfig.find_and_load(context.obj.config_path, check_files=False)
    if not as_json:
        click.echo(as_yaml(config), nl=False)
        return
    report = {"files": [str(path) for path in config.files], "values": shown_values(config), "sources": sources(config)}
    click.echo(json.dumps(report, indent=2))


@config_group.command("validate", epilog=examples("neuroflow config validate"))
@click.pass_context
def validate(context: click.Context) -> None:
    """Check keys, values, and the files that they name, all at once; `neuroflow doctor` looks at the rest."""
    from neuroflow.adapters.qsirecon_names import unknown_names
    from neuroflow.cli.output import escaped
    from neuroflow.config import NeuroflowConfig
    from neuroflow.notify.send import check
    from neuroflow.notify.targets import targets_of
    from neuroflow.orchestrator.registry import get_registry

    config = NeuroflowConfig.find_and_load(context.obj.config_path)
    # The registry alone knows the default dependencies, so it alone can find a circle.
    get_registry(config)
    for target in targets_of(config.workflow.notifications):
        check(target)
    recon = config.pipelines.qsirecon
    for words in unknown_names(recon) if recon.enabled else ():
        click.echo(f"warning: {escaped(words)}", err=True)
    click.echo(f"The configuration is valid: {', '.join(str(path) for path in config.files)}")
    click.echo("`neuroflow doctor` looks at SLURM, Redis, images and folders.")


@config_group.command(
    "schema",
    epilog=examples("neuroflow config schema --keys", "neuroflow config schema > neuroflow-schema.json"),
)
@click.option("--keys", is_flag=True, help="List every key with its type, default and meaning instead.")
@click.option("--site", is_flag=True, help="The schema of a site file, as shipped in site-configs/schema.json.")
def schema(keys: bool, site: bool) -> None:
    """Write the JSON schema of neuroflow.yaml, for editors."""
    from neuroflow.config import NeuroflowConfig
    from neuroflow.config.describe import describe_keys
    from neuroflow.config.schema import main_schema, site_schema

    if not keys:
        click.echo(json.dumps(site_schema() if site else main_schema(), indent=2))
        return
    for info in describe_keys(NeuroflowConfig):
        default = "required" if info.required else f"default: {info.default}"
        click.echo(f"{info.key}  ({info.type}; {default})")
        click.echo(f"    {info.description}")
