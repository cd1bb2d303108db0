# SPDX-License-Identifier: Apache-2.0
#
# Short names for what is done every day; the work is in scripts/. Each script also runs by itself.

.DEFAULT_GOAL := help
.PHONY: help setup build run test lint format bench docker-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, a Python environment in .venv
	@scripts/setup

build: setup ## build the program for release: .build/release/penstock
	@scripts/build

run: ## try it: Kafka, SQS, DynamoDB, Postgres, sample records, Penstock, and what it is doing
	@scripts/demo

test: ## all checks: format, build, tests with real components, scripts, examples
	@scripts/test

lint: ## only the checks that build nothing
	@scripts/lint

format: ## bring the Swift sources into shape
	swift format --in-place --parallel --recursive Sources Tests Benchmarks/Bench Package.swift

bench: ## measure Penstock beside programs that do the same work: some ten minutes
	@scripts/bench

docker-check: ## check docker/ without a container engine
	@scripts/docker-check

clean: ## remove what was built and what the demo left; .venv stays
	rm -rf .build .build-bench .run
