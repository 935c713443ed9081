// Package keychain derives every key from one seed.
package keychain
