"""The real clock and the real randomness."""

import random
import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemEntropy:
    def token_hex(self, size: int) -> str:
        return secrets.token_hex(size)


sleep = time.sleep
jitter = random.random
