# Everything happens in .venv, which is made from the lock when it is needed.
# Any Python from 3.11 to 3.13 will do; make PYTHON=/path/to/python names another.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,\
  $(shell $(name) -c $(SUITS) 2> /dev/null && echo $(name))))
SUITS := 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
VENV := .venv
RUN := $(VENV)/bin/python

CHECK := env -u FPRIN_PROFILE FPRIN_SWEEPS= OMP_NUM_THREADS=1 $(RUN) -m pytest \
  --numprocesses auto --dist loadscope --nbval-lax -o filterwarnings=default

.PHONY: figures test site benchmark notebooks readme lock clean

# make figures [PROFILE=smoke] [NOTEBOOKS="01 04"] [OUTPUT=folder] [JOBS=2] [PARAMETERS="seed=3"]
#   [SCHEDULER=tcp://host:8786]
# A parameter in PARAMETERS has no spaces: widths=[20,20].
figures: $(VENV)/.ready
	@$(RUN) -m fprin_utils.build.regenerate \
	  $(if $(PROFILE),--profile $(PROFILE)) $(if $(NOTEBOOKS),--notebooks $(NOTEBOOKS)) \
	  $(if $(OUTPUT),--output $(OUTPUT)) $(if $(JOBS),--jobs $(JOBS)) \
	  $(if $(SCHEDULER),--scheduler $(SCHEDULER)) \
	  $(foreach parameter,$(PARAMETERS),--parameter '$(parameter)')

test: $(VENV)/.ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@# In the order of their names, so that no long file is left for the end; the longest of them
	@# take 40 s, and what waits for ever is to be named.
	$(RUN) -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder --durations 25 \
	  --timeout 400
	@# Few seeds first; what looks suspicious with them runs once more with as many as it takes to
	@# tell. Status 1 of pytest: tests failed, and nothing else went wrong.
	FPRIN_CHECK=first $(CHECK) --junitxml $(VENV)/first_look.xml notebooks || { [ $$? -eq 1 ] && \
	  suspicious=$$($(RUN) tests/suspicious_notebooks.py $(VENV)/first_look.xml) && \
	  FPRIN_CHECK=second $(CHECK) $$suspicious; }

# The notebooks and the package as pages to read in a browser, without a network.
site: $(VENV)/.ready
	rm -rf site/_build
	$(RUN) site/build.py site/_build

# make benchmark [ARGUMENTS="--workloads small --rounds 3"]
benchmark: $(VENV)/.ready
	$(RUN) -m pip install --quiet --constraint requirements.lock --editable '.[benchmark]'
	$(RUN) -m benchmarks $(ARGUMENTS)

# For maintainers: run the notebooks with several first seeds, store their outputs in them and their
# verdicts in the reference, bring the READMEs into step.
notebooks: $(VENV)/.ready
	$(RUN) -m fprin_utils.build.record $(if $(NOTEBOOKS),--notebooks $(NOTEBOOKS))

readme: $(VENV)/.ready
	$(RUN) -m fprin_utils.build.readmes
	$(RUN) -c 'from fprin_utils.play import pages; pages.update_players()'

# For maintainers: resolve the dependencies of pyproject.toml anew, around a given torch. From 4.25 on
# jsonschema builds the parsers of a grammar in every process that reads a notebook, for two seconds.
lock:
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install torch==2.13.0
	$(VENV)-lock/bin/python -m pip install '.[test,site]' 'jsonschema<4.25'
	$(VENV)-lock/bin/python -m pip freeze --exclude fprin_utils > $(VENV)-lock/frozen
	sed 's/+cpu$$//' $(VENV)-lock/frozen > requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV)

# What is installed notes, when all of it is there, the folder and the files it was made from: a copy
# of the folder, or another lock, is another environment and is made from nothing.
LOCKED := $(CURDIR) $(shell cksum < requirements.lock)
READY := $(shell cat pyproject.toml voila.json binder/voila/* | cksum)
ifneq ($(shell cat $(VENV)/.locked 2> /dev/null),$(LOCKED))
.PHONY: $(VENV)/.locked
endif
ifneq ($(shell cat $(VENV)/.ready 2> /dev/null),$(READY))
.PHONY: $(VENV)/.ready
endif

$(VENV)/.locked:
	@if [ -L $(VENV) ]; then \
	  echo "$(VENV) is a link to an environment of another folder; remove the link." >&2; exit 1; fi
	@if ! $(or $(PYTHON),false) -c 'import venv'; then \
	  echo "No Python 3.11, 3.12 or 3.13 with venv was found; name one: make PYTHON=..." >&2; exit 1; fi
	@if [ -s $@ ] && [ "$$(sed 's/ [0-9]* [0-9]*$$//' $@)" != "$(CURDIR)" ]; then \
	  echo "$(VENV) was made in another folder: $$(cat $@)"; fi
	@echo "Installing into $(VENV); this takes some minutes the first time."
	@rm -f $@ $(VENV)/.ready
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.lock
	@echo "$(LOCKED)" > $@

# cffconvert asks for a jsonschema older than Jupyter's but works with the newer one, so it comes
# without its dependencies; the lock has them.
$(VENV)/.ready: $(VENV)/.locked
	@rm -f $@
	$(RUN) -m pip install --quiet --no-deps --force-reinstall cffconvert==2.0.0 --editable .
	@mkdir -p $(VENV)/etc/jupyter
	cp voila.json $(VENV)/etc/jupyter/voila.json
	cp voila.json $(VENV)/etc/jupyter/jupyter_server_config.json
	@mkdir -p $(VENV)/share/jupyter/voila/templates/fprin
	cp binder/voila/* $(VENV)/share/jupyter/voila/templates/fprin
	@echo "$(READY)" > $@
