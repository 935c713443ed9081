package keychain

const bech32Alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32 encodes data as BIP173 says, in lower case, without its limit of 90 characters (as age does).
func bech32(hrp string, data []byte) string {
	values := fiveBits(data)
	sum := checksum(hrp, values)
	out := make([]byte, 0, len(hrp)+1+len(values)+len(sum))
	out = append(append(out, hrp...), '1')
	for _, v := range append(values, sum[:]...) {
		out = append(out, bech32Alphabet[v])
	}
	return string(out)
}

// fiveBits regroups bytes into groups of five bits, the last one filled up with zeros.
func fiveBits(data []byte) []byte {
	out := make([]byte, 0, (len(data)*8+4)/5)
	acc, n := uint32(0), 0
	for _, b := range data {
		acc = acc<<8 | uint32(b)
		for n += 8; n >= 5; n -= 5 {
			out = append(out, byte(acc>>(n-5))&31)
		}
	}
	if n > 0 {
		out = append(out, byte(acc<<(5-n))&31)
	}
	return out
}

func checksum(hrp string, values []byte) (sum [6]byte) {
	var in []byte
	for i := range len(hrp) {
		in = append(in, hrp[i]>>5)
	}
	in = append(in, 0)
	for i := range len(hrp) {
		in = append(in, hrp[i]&31)
	}
	in = append(append(in, values...), sum[:]...)
	p := polymod(in) ^ 1
	for i := range sum {
		sum[i] = byte(p>>(5*(5-i))) & 31
	}
	return sum
}

func polymod(values []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	c := uint32(1)
	for _, v := range values {
		top := c >> 25
		c = c&0x1ffffff<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				c ^= g
			}
		}
	}
	return c
}
