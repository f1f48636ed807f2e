"""JSON Schemas of what each task's result holds; the tests check results against them."""
