// SPDX-License-Identifier: Apache-2.0
//
// Nothing to call: a program that is linked with this target allocates by jemalloc (see Allocator.c).
