"""What stands on an agent's page: memories, posts, news, its account, its day so far.

Whoever calls leaves out what is masked.
"""

from __future__ import annotations

from collections.abc import Sequence

from evobourse.agents.observation import TENDENCIES

_OPENINGS = {
    "reason": ("Thought", "I think"),
    "advice": ("Advice to this investor", "You should"),
    "revision": ("Second thought", "Now I think"),
    "reflection": ("Lesson of the day", "I learned that"),
    "post": ("Post to my friends", "Today I"),
}
KINDS = tuple(_OPENINGS)
ORDER = "order"
"""The text in which an agent names price and quantity itself, where it does."""

_OPENINGS[ORDER] = ("Order", "")


def cue_of(kind: str) -> str:
    """Return what a text of a kind is asked by, up to the words that it begins with."""
    name, opening = _OPENINGS[kind]
    return f".\n{name}: {opening}".rstrip()


def sentence_of(kind: str, written: str) -> str:
    """Return what was written together with the words that it begins with."""
    return _OPENINGS[kind][1] + written


def line_of(kind: str, sentence: str) -> str:
    """Return a sentence as a line of a page."""
    return f"\n{_OPENINGS[kind][0]}: {sentence}"


def render_memory(age_days: int, text: str) -> str:
    """Write a line of memory."""
    when = "yesterday" if age_days == 1 else f"{age_days} days ago"
    return f"\n- {when}: {text}"


def render_profile(profile: str) -> str:
    """Write who an agent is; nothing where nobody says."""
    return f"\nWho you are: {profile}" if profile else ""


def render_morning(memories: Sequence[tuple[int, str]], posts: Sequence[str]) -> str:
    """Write what holds for the day: memories, each with its age in days, and friends' posts."""
    lines = [render_memory(age, text) for age, text in memories]
    remembered = "\nYou remember:" + "".join(lines) if lines else ""
    read = "\nYour friends wrote:" + "".join(f"\n- {post}" for post in posts) if posts else ""
    return remembered + read


def render_situation(
    turn: int, turns: int, account: str, notes: Sequence[str], heard: Sequence[str]
) -> str:
    """Write what holds for a turn: news and rumours of today, today's notes, the account."""
    news = "".join(f"\n{text}" for text in heard)
    so_far = "\nToday so far: " + " ".join(notes) if notes else ""
    return f"{news}{so_far}\nRound {turn + 1} of {turns}. {account}"


def render_close(account: str, notes: Sequence[str], heard: Sequence[str]) -> str:
    """Write what holds after the day."""
    news = "".join(f"\n{text}" for text in heard)
    so_far = " " + " ".join(notes) if notes else ""
    return f"{news}\nThe day is over.{so_far} {account}"


def render_account(lots: int, stock_share: float, profit: float, resting: int) -> str:
    """Write an agent's own account: lots, their share of its wealth, today's profit, orders."""
    waiting = "" if not resting else f" {_count(resting, 'order')} of yours still wait."
    return (
        f"You hold {_count(lots, 'share')}, {100 * stock_share:.0f}% of your wealth. "
        f"Your profit today is {100 * profit:.1f}%.{waiting}"
    )


def render_position(lots: int, worth: float, profit: float, resting: int, called: bool) -> str:
    """Write an account in a future: lots, their worth over its wealth, profit, orders, a call."""
    side = "long" if lots > 0 else "short"
    part = min(100 * abs(worth), 9_999)  # of one that has lost all
    held = f"are {side} {_count(abs(lots), 'lot')}, worth {part:.0f}% of your wealth"
    forced = " You are called for margin: a part of that is closed by force." if called else ""
    waiting = "" if not resting else f" {_count(resting, 'order')} of yours still wait."
    return (
        f"You {held if lots else 'hold no lots'}. Your profit today is {100 * profit:.1f}%."
        f"{forced}{waiting}"
    )


def render_decision(turn: int, tendency: int) -> str:
    """Write what an agent chose in a turn."""
    return f"Round {turn + 1}: you chose {TENDENCIES[tendency + 2]}."


def render_naming(tendency: int) -> str:
    """Ask for the numbers of an order, given what was chosen."""
    return (
        f"\nYou chose {TENDENCIES[tendency + 2]}. Now you name your limit price, in percent from "
        "the last close, and how many lots, as in these orders: +0.80% 20 lots; -1.35% 5 lots; "
        "+2.10% 60 lots."
    )


def render_fill(bought: int, distance: float, unit: str = "share") -> str:
    """Write what an agent traded: lots, negative if sold, at a distance from the reference."""
    verb = "bought" if bought > 0 else "sold"
    where = "above" if distance >= 0 else "below"
    return (
        f"You {verb} {_count(abs(bought), unit)} at {100 * abs(distance):.1f}% {where} "
        "yesterday's close."
    )


def render_withdrawal(
    side: int, lots: int, distance: float, swapped: bool, unit: str = "share"
) -> str:
    """Ask what shall become of an order that was not filled; swapped, the answers change letters.

    The distance is that of the limit price from the reference.
    """
    verb = "buy" if side > 0 else "sell"
    where = "above" if distance >= 0 else "below"
    first, second = ("withdraw it", "keep it") if swapped else ("keep it", "withdraw it")
    return (
        f"\nYour order to {verb} {_count(lots, unit)} at {100 * abs(distance):.1f}% {where} "
        f"yesterday's close waits. Now you answer with one letter: A {first}, B {second}."
    )


def render_episode(
    words: Sequence[str], heard: Sequence[str], tendency: int, profit: float, lesson: str
) -> str:
    """Write a day as it will be remembered."""
    seen = f"it was {', '.join(words)}; " if words else ""
    told = f"you heard {' '.join(heard)}; " if heard else ""
    chose = f"you chose {TENDENCIES[tendency + 2]}, your profit was {100 * profit:.1f}%."
    return f"{seen}{told}{chose} {lesson}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
