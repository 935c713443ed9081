#!/bin/sh
# Builds every program for every platform that it is promised for, without cgo.
set -eu
for target in linux/amd64 linux/arm64 darwin/arm64 darwin/amd64 freebsd/amd64; do
	echo "$target: ccdrive ccprovider"
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -trimpath -o /dev/null ./cmd/ccdrive
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -trimpath -o /dev/null ./cmd/ccprovider
done
echo "windows/amd64: ccprovider"
CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build -trimpath -o /dev/null ./cmd/ccprovider
