"""Builds of the live image on their way to the centre: published, released, rolled back, listed.

`build` is a build as it lies on the build host, checked before anything is sent. `layout` knows every name in the
tree at the centre. `place` says what a place must be able to do; `local`, `ssh` and `ftp` do it, `address` chooses.
`tree` is what stands in a branch's tree, with the decisions that follow (what is kept, where a roll-back leads). `lock`
lets one at a time move links. `release` moves them, `publish` brings a build there, `listing` shows what is there, and
`cli` is what a person types.

Standard library alone: it runs on a build host and on a central server, which have no agent.
"""
