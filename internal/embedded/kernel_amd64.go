package embedded

import "golang.org/x/sys/cpu"

// dotAVX2 is the kernel in AVX2: 32 codes a step, widened to 16 bits,
// multiplied and added in pairs. n is a multiple of 32.
//
//go:noescape
func dotAVX2(code *int8, query *int16, n int) int32

func pickKernel() kernel {
	if !cpu.X86.HasAVX2 {
		return dotGeneric
	}
	return func(code []int8, query []int16) int32 {
		query = query[:len(code)]
		return dotAVX2(&code[0], &query[0], len(code))
	}
}
