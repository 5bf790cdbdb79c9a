"""What a test counts: names what fails, and prints the last line that tools/test.sh reads."""


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def note(self, ok, what, output=""):
        self.passed, self.failed = self.passed + bool(ok), self.failed + (not ok)
        if not ok:
            print(f"FAIL {what}" + (f"\n{output}" if output else ""))

    def end(self):
        """The exit status."""
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return self.failed != 0
