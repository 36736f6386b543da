#!/usr/bin/env bash
# Build the four demo images (heudiconv, preproc, recon, qsiparc) from containers/demo, as root on Debian.
#
#   build-images.sh CACHE    prints the folder that holds demo-<name>.sif; builds only what has changed
#
# PYTHON (python3) needs pip: it unpacks the wheels for the images' Python 3.11, whatever its own version is.
# Takes about two minutes the first time, and a second when nothing has changed.
set -euo pipefail
shopt -s inherit_errexit

readonly HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly APPS=$(cd "$HERE/../../containers/demo" && pwd)
readonly PYTHON=${PYTHON:-python3} IMAGES=(heudiconv preproc recon qsiparc)
readonly OLD_DAYS=7 LOCK_SECONDS=1200
# gzip takes four times as long, and nobody keeps these images.
readonly COMPRESSION="-comp zstd -Xcompression-level 1"

fail() { echo "build-images.sh: $*" >&2; exit 1; }

hash_of() { (cd "$APPS" && cat "$@") | sha256sum | cut -c1-12; }

requirements_of() { # IMAGE
    case $1 in
        preproc | recon) echo requirements-apps.txt ;;
        *) echo "requirements-$1.txt" ;;
    esac
}

sources_of() { # IMAGE: what its content depends on, from containers/demo
    echo "base.def $1.def $(requirements_of "$1") ../../tests/cluster/build-images.sh"
    if [[ -e $APPS/$1_app.py ]]; then echo "$1_app.py"; fi
}

# The archive that this machine's apt is set up with; so a mirror is respected, and none is named here.
debian_archive() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '/\/debian\/?$/ {print; exit}'
}

install_packages() { # IMAGE FOLDER: its Python packages, for CPython 3.11 on Debian 12
    local name=$1 folder=$2 wheels=$2.wheels glibc platforms=()
    for glibc in manylinux2014 manylinux_2_{17,24,26,27,28,31,34}; do
        platforms+=(--platform "${glibc}_$(uname -m)")
    done
    local pip=("$PYTHON" -m pip -qq)
    local install=("${pip[@]}" install --target "$folder" --only-binary=:all: --python-version 3.11
        --implementation cp --abi cp311 --abi abi3 --abi none "${platforms[@]}" --find-links "$wheels")
    mkdir -p "$wheels"
    if [[ $name == qsiparc ]]; then # pure Python, and not in the index as wheels
        "${pip[@]}" wheel --no-deps --wheel-dir "$wheels" docopt==0.6.2 qsiparc==0.1.2
    fi
    "${install[@]}" -r "$APPS/$(requirements_of "$name")"
    if [[ $name == qsiparc ]]; then "${install[@]}" --no-deps qsiparc==0.1.2; fi
}

build() { # TARGET DEFINITION OPTION...
    local target=$1 definition=$2
    shift 2
    rm -rf "$target.partial"
    apptainer --quiet build --disable-cache --warn-unused-build-args --tmpdir "$work" "$@" "$target.partial" "$APPS/$definition.def" >"$work/log" 2>&1 \
        || { tail -n 30 "$work/log" >&2; fail "$definition.def could not be built"; }
    mv "$target.partial" "$target"
}

make_base() { # TARGET
    if [[ -d $1 ]]; then return; fi
    build "$work/base" base --sandbox --build-arg MIRROR="$(debian_archive)"
    # debootstrap leaves every package file behind; the rest is read by nobody in a job.
    rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/* \
        "$work"/base/usr/share/{doc,man,locale,info}/*
    mv "$work/base" "$1"
}

make_image() { # TARGET IMAGE BASE
    if [[ -e $1 ]]; then return; fi
    install_packages "$2" "$work/$2"
    build "$1" "$2" --mksquashfs-args "$COMPRESSION" --build-arg BASE="$3" --build-arg SITE="$work/$2" --build-arg APPS="$APPS"
    rm -rf "${work:?}/$2"*
}

main() {
    local cache=$1 base folder name key all=() target
    base=$cache/base-$(hash_of base.def)
    for name in "${IMAGES[@]}"; do all+=($(sources_of "$name")); done
    folder=$cache/images-$(hash_of "${all[@]}")
    if [[ ! -d $folder ]]; then
        find "$cache" -mindepth 1 -maxdepth 1 -mtime "+$OLD_DAYS" \
            \( -name 'base-*' -o -name 'images-*' -o -name 'work.*' -o -name '*-????????????.sif' \) -exec rm -rf {} +
        make_base "$base"
        mkdir "$work/images"
        for name in "${IMAGES[@]}"; do
            target=$cache/$name-$(hash_of $(sources_of "$name")).sif
            make_image "$target" "$name" "$base"
            touch "$target" # not old yet
            ln "$target" "$work/images/demo-$name.sif"
        done
        mv "$work/images" "$folder"
    fi
    touch "$folder" "$base"
    echo "$folder"
}

(($# == 1)) || { sed -n '2,7p' "$0" >&2; exit 2; }
((EUID == 0)) || fail "debootstrap needs root"
mkdir -p "$1"
cache=$(cd "$1" && pwd)
exec {lock}>"$cache/lock"
flock --timeout "$LOCK_SECONDS" "$lock" || fail "another build holds $cache/lock for more than $LOCK_SECONDS s"
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
main "$cache"
