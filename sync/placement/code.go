package placement

// Code is how a pack is coded: K data and M parity shards.
type Code struct{ K, M int }

// maxShards is the widest code: wider ones save little room and cost more requests for each pack.
const maxShards = 14

// Spare is M, the number of spare shards of a drive that holds leases with so many different providers: 2 below ten, 3 below
// fourteen, 4 from there on.
func Spare(held int) int {
	switch {
	case held < 10:
		return 2
	case held < 14:
		return 3
	}
	return 4
}

// Coding chooses the code for new packs: held is the number of different providers that the drive has leases with, live how many of
// these answer and have room. ok is false when no code leaves Spare(held) spare shards: what is written stays pending.
//
// Held and live 6: 4+2. 5: 3+2. 4: 2+2. 3: 1+2. 10: 7+3. 14 and more: 10+4.
func Coding(held, live int) (k, m int, ok bool) {
	m = Spare(max(held, live))
	k = min(live, maxShards) - m
	if k < 1 {
		return 0, 0, false
	}
	return k, m, true
}
