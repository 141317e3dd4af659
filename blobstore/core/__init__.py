"""The rules: use cases and the owners of the invariants. No Flask, no HTTP."""
