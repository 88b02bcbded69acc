"""What a story may ask about the shop's books."""

from domain.audit import AuditReport, Conclude, LookAtBooks, Prescription, RepairBreach, Suspicions
from workflows.steps.patience import A_LONG_LOOK, UNTIL_DONE
from workflows.steps.step import Step

look_at_tables = Step("audit.look_at_tables", LookAtBooks, Suspicions, A_LONG_LOOK)
look_at_stories = Step("audit.look_at_stories", LookAtBooks, Suspicions, A_LONG_LOOK)
"""What should have a workflow and has none, and the other way round."""
look_at_money = Step("audit.look_at_money", LookAtBooks, Suspicions, A_LONG_LOOK)
"""The provider's payments beside ours, day by day."""

conclude = Step("audit.conclude", Conclude, AuditReport, A_LONG_LOOK)
"""What is still wrong is written down, and people are called; what is healed is written down too."""

repair = Step("audit.repair", RepairBreach, Prescription, UNTIL_DONE)
"""Repair what can be repaired in the tables, and say what else is to be done."""
