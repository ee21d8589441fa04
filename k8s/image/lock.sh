#!/bin/bash
# Writes gpu.lock, cpu.lock and torch-cpu.txt anew from pyproject.toml, with what model-based sweeps need:
# pip install uv, then k8s/image/lock.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

lock() {
    uv pip compile pyproject.toml --extra optuna --quiet --upgrade --no-emit-index-url --python-version 3.11 \
        --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate \
        --custom-compile-command k8s/image/lock.sh --output-file "$@"
}

lock k8s/image/gpu.lock
# torch for the CPU has an index of its own; DALI and CUDA's libraries are left out: without a GPU the thread pool reads.
without=(torch torchvision triton $(grep -oE '^(nvidia|cuda)-[a-z0-9-]+' k8s/image/gpu.lock))
lock k8s/image/cpu.lock --constraints k8s/image/gpu.lock "${without[@]/#/--no-emit-package=}"
{
    echo '# Written by k8s/image/lock.sh: the same releases as in gpu.lock.'
    sed -nE 's/^(torch|torchvision)==([0-9.]+) .*/\1==\2+cpu/p' k8s/image/gpu.lock
} > k8s/image/torch-cpu.txt
