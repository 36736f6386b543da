#!/usr/bin/env bash
# Install what the real-service tests need, on Debian, as root: SLURM with accounting, munge, MariaDB,
# Apptainer, Redis, PostgreSQL, sshd, Chromium, debootstrap, zsh, fish, shellcheck, systemd-analyze, promtool (of
# prometheus). Does nothing when all of it is there.
set -euo pipefail

readonly APPTAINER_LIB=/opt/apptainer-lib
readonly PACKAGES=(slurmctld slurmd slurm-client slurmdbd munge mariadb-server redis-server openssl postgresql
    openssh-server chromium chromium-driver squashfs-tools squashfuse fuse2fs uidmap patchelf busybox-static debootstrap
    shellcheck systemd docker-compose prometheus zsh fish)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# The packages' own services must not start: the tests run theirs, on their own ports and folders.
keep_services_off() {
    [[ -e /usr/sbin/policy-rc.d ]] && return
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -rf "$work" /usr/sbin/policy-rc.d' EXIT
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    keep_services_off
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 \
        || { cat "$work/apt.log" >&2; return 1; }
}

# The archive that this machine's apt is set up with; so a mirror is respected, and none is named here.
debian_archive() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '/\/debian\/?$/ {print; exit}'
}

# Debian's releases have no apptainer, only unstable has, built against a newer C library than theirs. Both are
# taken from unstable, and the library stays private to Apptainer's two programs.
install_apptainer() {
    apptainer --version >/dev/null 2>&1 && return
    echo "installing Apptainer"
    local options deb elf loader libraries=(libc6 libsqlite3-0 libseccomp2)
    local triplet; triplet=$(uname -m)-linux-gnu
    mkdir -p "$work"/{lists,cache/archives}/partial "$work"/{app,lib} "$APPTAINER_LIB" /var/lib/apptainer/mnt/session
    printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\nSigned-By: %s\n' \
        "$(debian_archive)" /usr/share/keyrings/debian-archive-keyring.gpg >"$work/unstable.sources"
    options=(-oDir::Etc::sourcelist="$work/unstable.sources" -oDir::Etc::sourceparts=-
        -oDir::State::Lists="$work/lists" -oDir::Cache="$work/cache" -oAPT::Sandbox::User=root)
    apt-get "${options[@]}" update -qq
    (cd "$work" && apt-get "${options[@]}" download -qq apptainer "${libraries[@]}")
    dpkg-deb -x "$work"/apptainer_*.deb "$work/app"
    for deb in "${libraries[@]}"; do dpkg-deb -x "$work/$deb"_*.deb "$work/lib"; done
    cp -a "$work/lib/usr/lib/$triplet/." "$APPTAINER_LIB/"
    cp -a "$work/app/etc/apptainer" /etc/
    cp -a "$work/app/usr/lib/$triplet/apptainer" "/usr/lib/$triplet/"
    cp "$work/app/usr/bin/apptainer" /usr/bin/apptainer
    loader=$(echo "$APPTAINER_LIB"/ld-linux-*.so.*)
    for elf in /usr/bin/apptainer "/usr/lib/$triplet/apptainer/bin/starter"; do
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$APPTAINER_LIB" "$elf"
    done
    apptainer --version
}

install_packages
install_apptainer
