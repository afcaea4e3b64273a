"""The bar: who answers, what runs, what was spent, what waits."""
