"""What the solver is told and asked, in order."""


class Script:
    """Statements for the solver, and the questions among them."""

    def __init__(self) -> None:
        self.parts: list[str] = ["(set-option :produce-models true)", "(set-logic QF_BV)"]
        self.questions: list[str] = []
        self._ends: dict[str, int] = {}

    def add(self, text: str) -> None:
        """A statement without an answer."""
        self.parts.append(text)

    def ask(self, name: str, condition: str | None) -> None:
        """Whether some run brings about ``condition``; the answer does not bind later ones."""
        self.parts.append("(push 1)")
        if condition is not None:
            self.parts.append(f"(assert {condition})")
        self.parts.append("(check-sat)")
        self._ends[name] = len(self.parts)
        self.parts.append("(pop 1)")
        self.questions.append(name)

    def text(self) -> str:
        """The whole script."""
        return "\n".join(self.parts)

    def up_to(self, question: str) -> str:
        """The script up to a question, without those before it."""
        parts = self.parts[: self._ends[question]]
        asked = [i for i, part in enumerate(parts[:-1]) if part == "(check-sat)"]
        return "\n".join(part for i, part in enumerate(parts) if i not in asked)
