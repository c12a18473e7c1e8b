package import Tile

/// What a register of a thread holds.
package enum RegisterType: String, Sendable, Hashable {
    case f32, b32, b64, predicate
}

/// A register of a thread. Registers may be written more than once; the tiles of Tile IR become one
/// register per lane that a thread owns.
package struct Register: Hashable, Sendable {
    package let number: Int
}

/// What an instruction reads: a register or a constant's bits.
package enum Source: Hashable, Sendable {
    case register(Register)
    case bits(UInt64)

    static func float(_ value: Float) -> Source { .bits(UInt64(value.bitPattern)) }
    static func integer(_ value: Int) -> Source { .bits(UInt64(bitPattern: Int64(value))) }
}

/// How an instruction understands its operands' bits.
package enum NumberType: String, Sendable, Hashable {
    case f32, s32, u32, s64, predicate
}

/// The memory an access goes to. Local memory is each thread's own; `cluster` is the shared memory of a block that
/// serves the same program, at a `peerAddress`.
package enum Space: String, Sendable, Hashable {
    case global, shared, local
    case cluster = "shared::cluster"
}

/// Arithmetic that every target has, or that the printer expands to one or two instructions.
package enum Arithmetic: String, Sendable, Hashable {
    case add, subtract, multiply, multiplyHigh, divide, remainder, minimum, maximum
    case and, or, xor, shiftLeft, shiftRight
    case negate, abs, not, squareRoot, floor
    /// Within 2 units in the last place.
    case reciprocalSquareRoot
    /// Within 2 units in the last place; 0 and infinity stand for what is below the normal numbers.
    case reciprocal
    /// 2^x, within 2 units in the last place; 0 where that is below the normal numbers.
    case exp2
    /// log2(x), to a relative error of 2^-22 outside of [1/2, 2].
    case log2
    /// a * b + c, one rounding.
    case multiplyAdd
    /// The first operand's magnitude with the second's sign.
    case copySign
}

/// What one thread does in one step.
package enum InstructionKind: Hashable, Sendable {
    /// Result = source; between f32 and b32 the bits as they are.
    case move
    /// The launch's parameter at that byte.
    case parameter(offset: Int)
    /// The thread's number in its block, the block's number in the grid; b32.
    case threadIndex, blockIndex
    case arithmetic(Arithmetic, NumberType)
    case compare(Comparison, NumberType)
    /// predicate, then value where set, else value.
    case select
    case convert(from: NumberType, to: NumberType)
    /// One of two 16-bit floats in a b32, as f32; `isAgain` has the same done by another instruction.
    case widen(DType, isHigh: Bool, isAgain: Bool)
    /// f32 rounded to a 16-bit type and widened again.
    case round(DType)
    /// Two f32 rounded to a 16-bit type, as one b32, the first in its low half.
    case narrowPair(DType)
    /// Sources: address in bytes. Results: consecutive elements, widened; zeros where the guard is off.
    case load(Space, DType, offset: Int)
    /// Sources: address in bytes, then consecutive elements, narrowed. Nothing where the guard is off.
    case store(Space, DType, offset: Int)
    /// Begins to copy 16 bytes. Sources: address in shared memory (plus `to`), address in global memory (plus
    /// `from`).
    case copy(from: Int, to: Int)
    /// Makes a group of the copies begun since the last; waits until all but the `pending` newest groups are complete.
    case copyCommit
    case copyWait(pending: Int)
    /// Prefetches the line at an address (plus offset) of global memory into the second-level cache; has no result.
    case prefetch(offset: Int)
    /// The value of the thread whose number differs in those bits, within aligned groups of `width`.
    case shuffle(xor: Int, width: Int)
    /// Waits for all threads of the block.
    case barrier
    /// Says that this thread has arrived, then waits until all threads of the cluster have. Between the two a
    /// thread may do what concerns no other.
    case clusterArrive, clusterWait
    /// Sources: address in shared memory, a block's number in the cluster; where that block has the same place.
    case peerAddress
    case product(ProductStep)
    /// Records a failed check. Sources: message number, program, value.
    case fail
}

/// Whether a program reads the memory of an access again, as far as caches should know.
package enum Reuse: Sendable, Hashable {
    case unknown, again, never
}

/// One instruction of a thread.
package struct Instruction: Sendable {
    package var kind: InstructionKind
    package var results: [Register] = []
    package var sources: [Source] = []
    /// Runs only where this predicate is set.
    package var guardedBy: Register?
    /// Of a load or store in global memory: what caches may know.
    package var reuse = Reuse.unknown
}

/// A thread's program: instructions and structured control flow. All threads of a program take the same
/// branches, so that all meet the barriers and shuffles inside.
package indirect enum Statement: Sendable {
    case instruction(Instruction)
    /// for counter = from; counter < to; counter += step, on b64 registers.
    case loop(counter: Register, from: Source, to: Source, step: Source, body: [Statement])
    case conditional(Register, then: [Statement], otherwise: [Statement])
    /// What those threads do for which a predicate is set, each for itself: no barrier and no shuffle is inside.
    case selected(Register, [Statement])
    /// Parts of a block that run beside each other from here on.
    case roles([ThreadRole])
    /// What each program does for itself, in the midst of what many do together: its threads' branches are its own.
    case programs([Statement])
}

/// A kernel as one thread runs it.
package struct ThreadFunction: Sendable {
    package var name: String
    package var views: [ViewParameter]
    package var scalars: [ScalarParameter]
    package var messages: [String]
    package var schedule: GPUSchedule
    package var registers: [RegisterType] = []
    package var body: [Statement] = []
    /// Bytes of shared memory of a block; of local memory of a thread.
    package var sharedBytes = 0
    package var localBytes = 0
    /// Blocks that meet, so that they must run at the same time; 1: none.
    package var clusterBlocks = 1
    /// Tiles that the copy engine moves. Their maps are parameters of the launch.
    package var maps: [TensorMap] = []
    package var columnBlocks: ColumnBlocks?
    /// Threads that can exchange registers.
    package var warpThreads = GPULimits.nvidiaWarp

    package func type(_ register: Register) -> RegisterType { registers[register.number] }
}

/// Where a launch's parameters are: for each view its address, sizes and strides (8 bytes each), then the
/// scalars (4 or 8 bytes each, aligned), the number of programs, the address of the failure record, and the copy engine's
/// maps.
package struct ParameterLayout: Sendable {
    package private(set) var views: [Int] = []
    package private(set) var scalars: [Int] = []
    package private(set) var programs = 0
    package private(set) var failure = 0
    package private(set) var byteCount = 0
    /// Of 128 bytes each, at multiples of 64.
    package private(set) var maps: [Int] = []

    package init(views: [ViewParameter], scalars: [ScalarParameter], maps: Int = 0) {
        var offset = 0
        for view in views {
            self.views.append(offset)
            offset += 8 * (1 + 2 * view.rank)
        }
        for scalar in scalars {
            let size = scalar.element == .index ? 8 : 4
            offset = (offset + size - 1) / size * size
            self.scalars.append(offset)
            offset += size
        }
        programs = (offset + 7) / 8 * 8
        failure = programs + 8
        byteCount = failure + 8
        for _ in 0..<maps {
            let map = (byteCount + 63) / 64 * 64
            self.maps.append(map)
            byteCount = map + 128
        }
    }

    package func size(_ view: Int, _ dimension: Int) -> Int { views[view] + 8 * (1 + dimension) }
    package func stride(_ view: Int, _ dimension: Int, rank: Int) -> Int {
        views[view] + 8 * (1 + rank + dimension)
    }
}
