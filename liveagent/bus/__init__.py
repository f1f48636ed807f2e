"""The agent on the system bus: its name, its interface, and which words mean what there."""

from __future__ import annotations


class Unanswered(Exception):
    """The daemon could not be asked; the message says why, and what to do."""


NAME = "org.liveagent.Agent1"
PATH = "/org/liveagent/Agent1"
# In the runtime directory as long as the daemon has the name.
MARK = "bus"
# JSON in texts; `Runs` has a row a run, `Submit` and `Cancel` answer with the run, or with an error and its kind.
INTERFACE = f"""
<node>
  <interface name="{NAME}">
    <method name="Submit">
      <arg type="s" name="order" direction="in"/>
      <arg type="s" name="answer" direction="out"/>
    </method>
    <method name="Cancel">
      <arg type="s" name="run" direction="in"/>
    </method>
    <method name="Status"><arg type="s" name="status" direction="out"/></method>
    <method name="Runs"><arg type="as" name="runs" direction="out"/></method>
    <method name="Events">
      <arg type="s" name="run" direction="in"/>
      <arg type="u" name="after" direction="in"/>
      <arg type="u" name="limit" direction="in"/>
      <arg type="as" name="events" direction="out"/>
    </method>
    <signal name="Event"><arg type="s" name="event"/></signal>
  </interface>
</node>
"""
