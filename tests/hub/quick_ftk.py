"""`ftk` whose waits are 20 times shorter: ft_toolkit and huggingface_hub wait 7 to 30 s for a Hub that is gone or busy."""

import time

_sleep = time.sleep


def _sleep_shorter(seconds: float) -> None:
    _sleep(seconds / 20)


if __name__ == "__main__":
    time.sleep = _sleep_shorter
    from ft_toolkit.cli.app import main

    main()
