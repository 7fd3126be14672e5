"""Pictures, figures and pages that show how well a reference was tracked."""
