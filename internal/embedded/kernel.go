package embedded

// A kernel returns Σ code[i]·query[i]. Both have the same length, a multiple
// of rowAlign, and the sum fits int32 however it is grouped (newProbe). All
// kernels return the same number.
type kernel func(code []int8, query []int16) int32

// dotGeneric is the kernel for every processor.
func dotGeneric(code []int8, query []int16) int32 {
	var a, b, c, d int32
	for len(code) >= 8 && len(query) >= 8 {
		x, y := code[:8:8], query[:8:8]
		a += int32(x[0])*int32(y[0]) + int32(x[4])*int32(y[4])
		b += int32(x[1])*int32(y[1]) + int32(x[5])*int32(y[5])
		c += int32(x[2])*int32(y[2]) + int32(x[6])*int32(y[6])
		d += int32(x[3])*int32(y[3]) + int32(x[7])*int32(y[7])
		code, query = code[8:], query[8:]
	}
	return a + b + c + d
}
