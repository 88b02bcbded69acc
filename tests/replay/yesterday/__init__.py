"""The stories and rules as they were before stories looked at the clock, frozen: nothing here is ever changed.

Only a ``Checkout`` hands over as it does since there are builds to be told apart: it asks for the current one.

``python -m tests.replay.yesterday`` is a worker of that build. Its steps are carried out by the activities of today,
whose answers are cut to what that build could say: histories keep the answers, and today's stories act on all of them.
"""
