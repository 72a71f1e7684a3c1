"""Pure rules of signed metadata: roles, delegations, versions, targets and their changes."""
