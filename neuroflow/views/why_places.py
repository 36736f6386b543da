"""How each pipeline stands for a subject or session: by its run, or by what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from neuroflow.domain import Level, RunRecord, RunStatus, SessionRecord, SessionStatus
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.standing import Kind, Place, Standing
from neuroflow.orchestrator.wanted_inputs import input_ids
from neuroflow.views.why_answer import Cause, Next, PlaceAnswer
from neuroflow.views.why_ended import cancelled, completed, failed
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_failed import attempts_of
from neuroflow.views.why_runs import before_start, running, submitted, submitting
from neuroflow.views.why_said import NOTHING, Said, at_next_look, held_until, of_place
from neuroflow.views.why_sessions import BEFORE_CONVERSION, session_clause, session_next
from neuroflow.views.why_waiting import hold_of
from neuroflow.views.why_words import listed
from neuroflow.wording import counted

_MOST_NAMED = 3
_SOURCE = "dicom:"  # how the inputs of a conversion are named
_BY_STATUS: Mapping[RunStatus, Callable[[RunRecord, Pipeline, Facts], Said]] = {
    RunStatus.PENDING: before_start,
    RunStatus.QUEUED: before_start,
    RunStatus.RETRY_WAIT: before_start,
    RunStatus.SUBMITTING: submitting,
    RunStatus.SUBMITTED: submitted,
    RunStatus.RUNNING: running,
    RunStatus.COMPLETED: completed,
    RunStatus.FAILED: failed,
    RunStatus.CANCELLED: cancelled,
}


@dataclass
class Explainer:
    """Explains one subject's places, upstream first: what comes later is explained by what comes before."""

    facts: Facts
    is_shown: Callable[[Place], bool] = lambda place: True  # those whose own answer people see beside this one
    said: dict[Place, Said] = field(default_factory=dict)
    roots: dict[Place, tuple[Place, ...]] = field(default_factory=dict)  # where the waiting for others ends

    def explain_all(self) -> dict[Place, PlaceAnswer]:
        """Return an answer for every pipeline and scope of the subject, upstream first."""
        for place, standing in self.facts.standings.items():
            self.said[place] = self._with_folder(place, self._explain(place, standing))
        return {place: said.answer for place, said in self.said.items()}

    def _explain(self, place: Place, standing: Standing) -> Said:
        if standing.run is not None:
            run = self.facts.runs.get(standing.run.id, standing.run)
            said = _BY_STATUS[run.status](run, self.facts.services.registry.get(place[0]), self.facts)
            return replace(said, answer=self._with_run(said.answer, run))
        if standing.upon:
            return self._upon_others(place, standing)
        session = self.facts.sessions.get(place[1])
        if session is not None and session.status is not SessionStatus.READY:
            return self._by_session(place, session)
        if standing.kind is Kind.COMING:
            return self._due(place, standing)
        reason = standing.reason or "there is nothing for it to do"
        clause = f"of which there is none: {reason}"
        return Said(of_place(place, "nothing", f"nothing to do: {reason}", NOTHING), clause, clause)

    def _with_folder(self, place: Place, said: Said) -> Said:
        """Say that the folder of a conversion is gone, where it is still needed."""
        folder = self._gone_folder(place)
        if folder is None or said.answer.state not in BEFORE_CONVERSION or folder in said.answer.summary:
            return said
        summary = f"its folder is not there: {folder}; {said.answer.summary}"
        return replace(said, answer=replace(said.answer, summary=summary))

    def _with_run(self, answer: PlaceAnswer, run: RunRecord) -> PlaceAnswer:
        """Add what every run has."""
        return replace(
            answer,
            attempts=attempts_of(self.facts.attempts.get(run.id) or []),
            started_at=run.started_at,
            ended_at=run.ended_at,
            covers=self._covers(run),
            former_results=self._former_results((run.pipeline, run.scope), before=run.id),
        )

    def _covers(self, run: RunRecord) -> tuple[str, ...]:
        """Return the sessions that a subject's run is made of."""
        if run.level is not Level.SUBJECT:
            return ()
        ids = input_ids(run.inputs_key)
        sources = {f"{one.pipeline}:{one.id}": one.scope for one in self.facts.snapshot.runs if one.session is not None}
        return tuple(sorted(scope for name, scope in sources.items() if name in ids))

    def _former_results(self, place: Place, *, before: int | None = None) -> int | None:
        """Return the completed run whose results stay until a later one has completed."""
        same = (one for one in self.facts.snapshot.runs if (one.pipeline, one.scope) == place)
        done = [one.id for one in same if one.status is RunStatus.COMPLETED and (before is None or one.id < before)]
        return max(done, default=None)

    def _by_session(self, place: Place, session: SessionRecord) -> Said:
        clause = session_clause(session, self.facts)
        settling = session.status is SessionStatus.SETTLING
        state, start = ("waiting", "waits: the session") if settling else ("nothing", "nothing to do: the session")
        cause = Cause(str(session.status), f"the session {clause}", since=session.updated_at)
        following = session_next(session, self.facts) or NOTHING
        answer = of_place(place, state, f"{start} {clause}", following, causes=(cause,))
        answer = replace(answer, former_results=self._former_results(place))
        return Said(answer, f"of which the session {clause}", f"of which the session is {session.status}")

    def _due(self, place: Place, standing: Standing) -> Said:
        """Explain a place that has all it needs, and no run over that yet."""
        newest = self._newest(place)
        why = standing.reason or "it is the first"
        if newest is not None and not standing.reason:
            why = (
                f"run {newest.id} is to be run again"
                if newest.superseded
                else f"its inputs changed since run {newest.id}{self._files_since(newest, place)}"
            )
        held = hold_of(place[0], self.facts)
        following = at_next_look(self.facts, "opens its run") if held is None else held_until(place[0])
        summary = f"{self._needed(place)}, and its run is about to be opened ({why})"
        answer = of_place(place, "due", summary, following, causes=() if held is None else (held,))
        answer = replace(answer, former_results=self._former_results(place))
        clause = "which is about to be started"
        return Said(answer, f"{clause} ({why})", clause)

    def _needed(self, place: Place) -> str:
        folder = self._gone_folder(place)
        return "everything that it needs is there" if folder is None else f"its folder is not there: {folder}"

    def _gone_folder(self, place: Place) -> str | None:
        """Return the folder that a conversion reads, where that is gone."""
        is_conversion = not self.facts.services.registry.get(place[0]).depends_on
        return self.facts.gone_folders.get(place[1]) if is_conversion else None

    def _files_since(self, run: RunRecord, place: Place) -> str:
        """Return how many files a session has now, and had when it was converted."""
        session = self.facts.sessions.get(place[1])
        if session is None or not run.inputs_key.startswith(_SOURCE):
            return ""
        files = self.facts.files_by_fingerprint(session)
        now, before = files.get(session.fingerprint), files.get(run.inputs_key.removeprefix(_SOURCE))
        if now is None or before is None:
            return ""
        return (
            f": {counted(now, 'file')}, as many as before"
            if now == before
            else f": {counted(now, 'file')}, were {before}"
        )

    def _newest(self, place: Place) -> RunRecord | None:
        runs = [one for one in self.facts.snapshot.runs if (one.pipeline, one.scope) == place and not one.was_withdrawn]
        return max(runs, key=lambda one: one.id, default=None)

    def _upon_others(self, place: Place, standing: Standing) -> Said:
        """Explain a place by the clauses of those upstream, which have theirs from further up: the root is told."""
        upon = standing.upon
        self.roots[place] = tuple(dict.fromkeys(root for one in upon for root in self.roots.get(one, (one,))))
        if all(self.said[root].answer.state == "nothing" for root in self.roots[place]):
            return self._nothing(place)
        start, state = _start_of(standing)
        summary = f"{start} {self._told(upon, brief=False)}"
        causes = tuple(
            Cause("upstream", f"{_named(one)}, {self.said[one].clause}", since=self.said[one].answer.since)
            for one in upon
        )
        brief = f"{start} {self._told(upon, brief=True)}"
        shown = all(self.is_shown(root) for root in self.roots[place])
        answer = of_place(place, state, brief if shown else summary, self._after(place), causes=causes)
        answer = replace(answer, former_results=self._former_results(place))
        return Said(answer, f"which {summary}", f"which {brief}")

    def _nothing(self, place: Place) -> Said:
        """Explain a place for which nothing comes, since nothing does at the root."""
        roots = self.roots[place]
        told = [self._why_nothing(root) for root in roots]
        more = len(told) - _MOST_NAMED
        why = "; ".join([*told[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
        causes = tuple(
            Cause("upstream", f"{_named(root)}, {self.said[root].clause}", since=self.said[root].answer.since)
            for root in roots
        )
        answer = of_place(place, "nothing", f"nothing to do: {why}", NOTHING, causes=causes)
        answer = replace(answer, former_results=self._former_results(place))
        clause = f"of which there is none: {why}"
        return Said(answer, clause, clause)

    def _why_nothing(self, root: Place) -> str:
        session = self.facts.sessions.get(root[1])
        if session is not None and session.status is not SessionStatus.READY:
            return f"{session.scope} is {session.status}"
        return self.said[root].answer.summary.removeprefix("nothing to do: ")

    def _told(self, upon: tuple[Place, ...], *, brief: bool) -> str:
        words = [f"{_named(one)}, {self.said[one].brief if brief else self.said[one].clause}" for one in upon]
        more = len(words) - _MOST_NAMED
        return "; ".join([*words[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])

    def _after(self, place: Place) -> Next:
        """Return what comes first for something that depends on other places."""
        roots = [self.said[root].answer for root in self.roots[place]]
        # One that is taken out, or can't be used, holds up nobody.
        stopped = [answer for answer in roots if answer.next.needs_person and answer.state != "nothing"]
        commands = tuple(dict.fromkeys(command for answer in stopped for command in answer.next.commands))
        if stopped:
            named = listed([_named((one.pipeline, one.scope)) for one in stopped], most=_MOST_NAMED)
            return Next(f"nothing, until a person has brought on {named}", needs_person=True, commands=commands)
        times = [answer.next.at for answer in roots if answer.next.at is not None]
        return Next("it starts once that has completed", at=max(times, default=None))


def _start_of(standing: Standing) -> tuple[str, str]:
    """Return how the words for a place that depends on others begin, and its state."""
    if standing.kind in (Kind.COMING, Kind.SETTLING):
        return "waits for", "waiting"
    if standing.reason.startswith("the session was not part"):
        return f"can't start: {standing.reason}; it needs", "blocked"
    return "can't start without", "blocked"


def _named(place: Place) -> str:
    return f"{place[0]} of {place[1]}"
