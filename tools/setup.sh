#!/usr/bin/env bash
# setup.sh build|test|peers: installs what a set needs (peers: what `make bench` measures against). The only place that knows package names.
# System packages come first; what Debian lacks is fetched as pinned source, checked by SHA-256 before anything in it runs.
set -euo pipefail
cd "$(dirname "$0")/.."
deps=build/deps

# Debian packages of a set, each with a file or program that shows that it is there.
build_packages='gcc:gcc libc6-dev:/usr/include/stdio.h pkg-config:pkg-config libuv1-dev:/usr/include/uv.h libssl-dev:/usr/include/openssl/ssl.h
libedit-dev:/usr/include/histedit.h libyaml-dev:/usr/include/yaml.h python3-pip:PIP python3-venv:PIP ca-certificates:/etc/ssl/certs/ca-certificates.crt'
test_packages='libcmocka-dev:/usr/include/cmocka.h clang:clang clang-format:clang-format libclang-rt-14-dev:/usr/lib/llvm-14/lib/clang
cppcheck:cppcheck libsimde-dev:/usr/include/simde/x86/avx512.h nodejs:node npm:npm curl:curl'
# On x86 the tier of 64-bit ARM is built and run too.
[ "$(uname -m)" != x86_64 ] || test_packages="$test_packages gcc-aarch64-linux-gnu:/usr/bin/aarch64-linux-gnu-gcc
libc6-dev-arm64-cross:/usr/aarch64-linux-gnu/include/stdio.h qemu-user:qemu-aarch64"

# pip itself takes half a second to say that it is there: it is asked only while something is to be fetched.
has() {
    case $1 in
    /*) [ -e "$1" ] ;;
    PIP) [ -e $deps/done ] || python3 -m pip --version >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

install_packages() {
    local missing='' pair
    for pair in $*; do
        has "${pair#*:}" && continue
        case "$missing " in *" ${pair%%:*} "*) ;; *) missing="$missing ${pair%%:*}" ;; esac
    done
    [ -n "$missing" ] || return 0
    local root=''
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then root=sudo; else
            echo "moat: setup failed: these Debian packages are missing:$missing; run as root: apt-get install$missing" >&2
            exit 1
        fi
    fi
    echo "moat: installing$missing" >&2
    $root apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# fetch_sdist NAME VERSION SHA256: the source archive from the Python package index, into $deps.
fetch_sdist() {
    local file=$deps/$1-$2.tar.gz
    if ! echo "$3  $file" | sha256sum -c --status 2>/dev/null; then
        echo "$1==$2 --hash=sha256:$3" >"$deps/$1.txt"
        python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: --require-hashes -r "$deps/$1.txt" -d "$deps" >&2
        echo "$3  $file" | sha256sum -c --status || { echo "moat: setup failed: $1 $2: the download has another SHA-256 than the pinned one" >&2; exit 1; }
    fi
}

take() { # take ARCHIVE PATH-INSIDE DESTINATION
    tar xzOf "$deps/$1" "$2" >"$3.tmp" && mv "$3.tmp" "$3"
}

build_set() {
    install_packages "$build_packages ${CC:+$(basename "${CC%% *}"):${CC%% *}}"
    [ -e $deps/include/llhttp.h ] && [ -e $deps/include/yyjson.h ] && [ -e $deps/src/yyjson.c ] && [ -e $deps/done ] && return 0
    mkdir -p $deps/include $deps/src
    fetch_sdist yyjson 4.0.6 fcd4dc15c1e39a30bf9fa85d56903029111506860fc3080ab0d81c6c6dacaa8c
    fetch_sdist httptools 0.9.0 d484ebb7e3a3f3597b0f645fbd1b85633674ca808c1f5ba11c2caf7c66f5c8b6
    take yyjson-4.0.6.tar.gz yyjson-4.0.6/yyjson/yyjson.h $deps/include/yyjson.h
    take yyjson-4.0.6.tar.gz yyjson-4.0.6/yyjson/yyjson.c $deps/src/yyjson.c
    local llhttp=httptools-0.9.0/vendor/llhttp
    take httptools-0.9.0.tar.gz $llhttp/include/llhttp.h $deps/include/llhttp.h
    take httptools-0.9.0.tar.gz $llhttp/src/llhttp.c $deps/src/llhttp.c
    take httptools-0.9.0.tar.gz $llhttp/src/api.c $deps/src/llhttp_api.c
    take httptools-0.9.0.tar.gz $llhttp/src/http.c $deps/src/llhttp_http.c
    touch $deps/done
}

test_set() {
    install_packages "$test_packages"
    local venv=build/venv
    if ! [ -e $venv/done-1 ]; then
        python3 -m venv $venv
        $venv/bin/pip install -q --disable-pip-version-check numpy==1.26.4 openai==1.59.9 jinja2==3.1.6 >&2
        touch $venv/done-1
    fi
    if ! [ -e build/npm/done-1 ]; then
        npm install --silent --no-audit --no-fund --prefix build/npm openai@4.104.0 >&2
        touch build/npm/done-1
    fi
}

# llama.cpp as its Python package builds it for this machine. gcc 12 breaks its AMX code unless two passes are off.
peers_set() {
    install_packages 'g++:g++ cmake:cmake python3-venv:PIP'
    local venv=${PEERS:-build/peers}
    [ -e $venv/done-0.3.36 ] && return 0
    python3 -m venv $venv
    echo "moat: building llama.cpp to measure against (some minutes)" >&2
    CFLAGS="-fno-tree-dse -fno-dse" CXXFLAGS="-fno-tree-dse -fno-dse" \
        $venv/bin/pip install -q --disable-pip-version-check --no-binary llama-cpp-python llama-cpp-python==0.3.36 >&2
    touch $venv/done-0.3.36
}

case ${1:-} in
build) build_set ;;
test) test_set ;;
peers) peers_set ;;
*) echo "usage: tools/setup.sh build|test|peers" >&2; exit 2 ;;
esac
