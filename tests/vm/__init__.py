"""The boot lab: real PXE boots of the live image in QEMU, in a network that leads nowhere.

`image` builds what is booted, `network` what it is booted over, `guest` the machine, `receiver` the far end;
`lab` puts them together and `conftest` hands them to the tests.
"""
