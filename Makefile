# Two commands: `make run` shows the program at work, `make test` is what CI runs.
# Each makes .venv from nothing; needed are git, make and Python 3.11 or newer.
PYTHONS := python3.11 python3 python3.12 python3.13 python3.14
ifndef PYTHON
PYTHON := $(shell for p in $(PYTHONS); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
endif

# As pip does for what it copies: else each start compiles the checkout where PYTHONDONTWRITEBYTECODE is set.
COMPILE := .venv/bin/python -m compileall -qq kernel ouroboros oxios webui || true

.PHONY: run test setup dev python fmt bench surface readme clean
.NOTPARALLEL:

run: setup
	@.venv/bin/python scripts/machine.py --install bubblewrap || true
	@.venv/bin/python scripts/demo.py

test: dev
	@.venv/bin/python scripts/machine.py --install
	@.venv/bin/python scripts/check.py

setup: python
	@$(PYTHON) scripts/setup.py
	@$(COMPILE)

dev: python
	@$(PYTHON) scripts/setup.py --dev
	@$(COMPILE)

fmt: dev
	@.venv/bin/python scripts/fmt.py

bench: dev
	@.venv/bin/python scripts/bench.py

surface: dev
	@.venv/bin/python scripts/surface.py

readme: dev
	@.venv/bin/python scripts/readme.py

clean:
	rm -rf .venv .run build dist

python:
	@test -n "$(PYTHON)" || { \
		echo "Oxios needs Python 3.11 or newer, and none of these is one: $(PYTHONS)."; \
		echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name yours: make PYTHON=/path/to/python"; \
		exit 1; } >&2
