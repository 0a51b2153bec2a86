"""The states of a question: whatever the service does, nothing is lost and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from assets.music.lyrics.enrichment import Tally
from assets.music.lyrics.retry_policy import State, after
from resources.polite_http import Failed, Found, Missing

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def failures() -> st.SearchStrategy[Failed]:
    waits = st.floats(0, 1e9) | st.just(0.0)
    return st.builds(Failed, st.text(max_size=2_000), waits)


@pytest.mark.parametrize(("attempts", "hours"), [(0, 1), (1, 6), (2, 24), (3, 24), (100, 24)])
def test_failed_attempts_wait_longer_and_longer(attempts, hours):
    state = after(attempts, Failed("timeout"), NOW)
    assert state == State("failed", attempts + 1, None, "timeout", NOW + hours * HOUR)


def test_the_service_may_ask_for_a_longer_wait_but_not_for_a_shorter():
    assert after(0, Failed("429", 7_200), NOW).next_attempt_at == NOW + 2 * HOUR
    assert after(0, Failed("429", 10), NOW).next_attempt_at == NOW + HOUR
    assert after(0, Failed("429", 1e9), NOW).next_attempt_at == NOW + 24 * HOUR


def test_the_services_own_word_is_final():
    assert after(2, Found("la la"), NOW) == State("found", 3, "la la")
    assert after(0, Missing("no lyrics"), NOW) == State("missing", 1, None, "no lyrics")


def test_a_question_that_was_not_put_has_not_been_tried():
    state = after(4, None, NOW)
    assert (state.status, state.attempts) == ("failed", 4)
    assert NOW < state.next_attempt_at < NOW + HOUR


@given(failures(), st.integers(0, 10_000))
def test_what_failed_is_due_again_within_a_day_and_fits_the_table(failed, attempts):
    state = after(attempts, failed, NOW)
    assert state.status == "failed"
    assert NOW + HOUR <= state.next_attempt_at <= NOW + 24 * HOUR
    assert "\x00" not in (state.error or "")
    assert len(state.error or "") <= 500


@given(st.lists(st.sampled_from([Found("x"), Missing(), Failed("no"), None])))
def test_the_tally_counts_every_question_once(answers):
    tally = Tally()
    for answer in answers:
        tally = tally.with_state(after(0, answer, NOW), asked=answer is not None)
    assert tally.found == answers.count(Found("x"))
    assert tally.missing == answers.count(Missing())
    assert tally.failed == answers.count(Failed("no")) + answers.count(None)
    assert tally.asked == len(answers) - answers.count(None)


class OneQuestion(RuleBasedStateMachine):
    """A question asked whenever it is due, by a service in any mood, as the schedule does."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.state = State("pending", 0, next_attempt_at=NOW)
        self.said: list[Found | Missing | Failed | None] = []

    def due(self) -> bool:
        at = self.state.next_attempt_at
        return self.state.status in {"pending", "failed"} and at is not None and at <= self.now

    def answer(self, answer: Found | Missing | Failed | None) -> None:
        self.said.append(answer)
        self.state = after(self.state.attempts, answer, self.now)

    @precondition(due)
    @rule(failed=failures())
    def fail(self, failed: Failed) -> None:
        self.answer(failed)

    @precondition(due)
    @rule()
    def give_up(self) -> None:
        self.answer(None)

    @precondition(due)
    @rule(text=st.text(min_size=1))
    def find(self, text: str) -> None:
        self.answer(Found(text))

    @precondition(due)
    @rule()
    def miss(self) -> None:
        self.answer(Missing("no lyrics"))

    @rule(hours=st.integers(0, 30))
    def wait(self, hours: int) -> None:
        self.now += hours * HOUR

    @invariant()
    def is_the_services_last_word_or_due(self) -> None:
        last = self.said[-1] if self.said else None
        if self.state.status in {"found", "missing"}:
            assert isinstance(last, Found if self.state.status == "found" else Missing)
            assert self.state.next_attempt_at is None
        else:
            assert not isinstance(last, Found | Missing)
            assert self.state.next_attempt_at is not None
            assert self.state.next_attempt_at <= self.now + 24 * HOUR

    @invariant()
    def has_text_exactly_when_found(self) -> None:
        assert (self.state.status == "found") == (self.state.text is not None)

    @invariant()
    def is_asked_no_more_after_an_answer(self) -> None:
        answers = [said for said in self.said if isinstance(said, Found | Missing)]
        assert len(answers) <= 1

    @invariant()
    def counts_what_was_asked(self) -> None:
        assert self.state.attempts == sum(said is not None for said in self.said)


TestOneQuestion = OneQuestion.TestCase
