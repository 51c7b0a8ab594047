#!/bin/bash
# make release: what a release consists of, in dist/. The same commit, tag and Go give the same bytes, on any machine and in any folder.
# Usage: deploy/release.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
go=${GO:-go}
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
# The time that every file bears: the commit's.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

tar --version 2>/dev/null | grep -q 'GNU tar' || { echo "deploy/release.sh needs GNU tar, for archives that are the same each time" >&2; exit 1; }
rm -rf dist
mkdir dist
for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
  os=${platform%/*} arch=${platform#*/}
  name=pgtender_${version#v}_${os}_${arch}
  mkdir "dist/$name"
  echo "building $name"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS= "$go" build -buildvcs=false -trimpath \
    -ldflags "-s -w -X github.com/pgtender/pgtender/internal/cli.Version=$version" -o "dist/$name/pgtender" ./cmd/pgtender
  # What is in the binary, read from the binary itself.
  GOFLAGS= "$go" run "$sbom" bin -json -noserial -std -version "$version" -output "dist/$name.cdx.json" "dist/$name/pgtender" 2>dist/sbom.log ||
    { cat dist/sbom.log >&2; exit 1; }
  cp README.md LICENSE CHANGELOG.md "dist/$name/"
  tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar -C dist -cf - "$name" | gzip -9n >"dist/$name.tar.gz"
  rm -r "dist/$name"
done
rm -f dist/sbom.log
# The moment of the run is no part of the contents.
sed -i -E "s/(\"timestamp\": )\"[^\"]*\"/\1\"$(date -u -d "@$epoch" +%FT%TZ)\"/" dist/*.cdx.json
(cd dist && sha256sum -- *.tar.gz *.cdx.json >SHA256SUMS)
ls -l dist
