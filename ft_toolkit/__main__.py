"""`python -m ft_toolkit`: the same as `ftk`, for launchers such as `accelerate launch -m`."""

from ft_toolkit.cli.app import main

main()
