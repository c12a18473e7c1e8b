import Platform
package import Tile
package import TileGPU

/// An array of a launch, in host memory.
package struct EmulatedArray {
    package let base: UnsafeMutableRawPointer
    package let shape: [Int]
    package let strides: [Int]
    package let dtype: DType

    package init(base: UnsafeMutableRawPointer, shape: [Int], strides: [Int], dtype: DType) {
        self.base = base
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
    }

    /// The bytes that its elements span.
    var bytes: Range<UInt64> {
        let last = zip(shape, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
        let first = UInt64(UInt(bitPattern: base))
        return shape.contains(0) ? first..<first : first..<(first + UInt64((last + 1) * dtype.byteCount))
    }
}

/// A rule of the thread IR that a program broke while running.
package struct EmulationError: Error, CustomStringConvertible {
    package let description: String
}

/// Runs per-thread programs without a GPU: all threads of a program in step, in however many blocks they are, one
/// program after the other.
///
/// It reports what a GPU would leave undefined: an access outside the launch's arrays or off its
/// alignment, threads of a program taking different branches, two threads touching one place of shared
/// memory, one of them writing, with no barrier between, and a touch of another block's before it is known to run.
package struct Emulator {
    let function: ThreadFunction
    let parameters: [UInt8]
    let arrays: [Range<UInt64>]
    let views: [EmulatedArray]

    /// Of each thread, one after the other.
    var registers: [UInt64] = []
    let registerCount: Int
    var shared: [UInt8] = []
    /// Of each thread, one after the other.
    var local: [UInt8] = []
    /// Who touched each byte of shared memory last, and in which era: a barrier begins the next.
    var touches: [Touch] = []
    var era = 0
    /// The block, or the first of those that serve a program together.
    var block = 0
    /// Copies into shared memory that have not been waited for: the group of each, by what they fill.
    var copiesInFlight: [Int: Int] = [:]
    var copyGroup = 0
    /// What the threads of a cluster know of each other.
    var meeting = Meeting.unmet
    var product = ProductState()
    var failure: (message: Int, program: Int, value: Int)?

    struct Touch {
        var era = -1
        var thread = 0
        var wrote = false
        var isShared = false
    }

    enum Meeting {
        /// The others may not run yet; this thread has arrived and not waited, so that the others may do anything;
        /// all have met.
        case unmet, arrived, met
    }

    /// Threads that run at a time: a block's, or those of all blocks of a program.
    var threads: Int {
        function.schedule.blockThreads * Swift.max(function.schedule.blocks, function.clusterBlocks)
    }

    /// A thread's block among those of its program.
    func rank(_ thread: Int) -> Int { thread / function.schedule.blockThreads }

    /// Runs programs 0 ..< programs, of each column block where the kernel has any.
    ///
    /// - Returns: a failed check, if any: message number, program, value.
    /// - Throws: `EmulationError`.
    package static func run(
        _ function: ThreadFunction, programs: Int, arrays: [EmulatedArray], scalars: [Constant]
    ) throws -> (message: Int, program: Int, value: Int)? {
        if function.schedule.product != nil {
            return try runProduct(function, programs: programs, arrays: arrays, scalars: scalars)
        }
        let blocks = (programs + function.schedule.programsPerBlock - 1) / function.schedule.programsPerBlock
        var emulator = Emulator(function, programs, arrays, scalars)
        for block in 0..<blocks {
            emulator.startBlock(block * function.schedule.blocks)
            // Programs of one block share nothing, so each runs alone.
            for program in 0..<function.schedule.programsPerBlock {
                let first = program * function.schedule.threads
                try emulator.run(function.body, first..<(first + function.schedule.threads))
            }
        }
        return emulator.failure
    }

    /// Three clusters at most, so that each has several tiles one after the other.
    private static func runProduct(
        _ function: ThreadFunction, programs: Int, arrays: [EmulatedArray], scalars: [Constant]
    ) throws -> (message: Int, program: Int, value: Int)? {
        var emulator = Emulator(function, programs, arrays, scalars)
        let clusters = 3
        for cluster in 0..<clusters {
            emulator.startBlock(cluster * function.clusterBlocks)
            emulator.product.gridBlocks = clusters * function.clusterBlocks
            try emulator.run(function.body, 0..<emulator.threads)
        }
        return emulator.failure
    }

    private init(
        _ function: ThreadFunction, _ programs: Int, _ arrays: [EmulatedArray], _ scalars: [Constant]
    ) {
        self.function = function
        registerCount = function.registers.count
        self.arrays = arrays.map(\.bytes)
        views = arrays
        let layout = ParameterLayout(
            views: function.views, scalars: function.scalars, maps: function.maps.count)
        var bytes = [UInt8](repeating: 0, count: layout.byteCount)
        func put(_ value: UInt64, _ offset: Int, _ count: Int = 8) {
            for i in 0..<count { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(i))) }
        }
        for (view, array) in arrays.enumerated() {
            put(UInt64(UInt(bitPattern: array.base)), layout.views[view])
            for dimension in array.shape.indices {
                put(UInt64(array.shape[dimension]), layout.size(view, dimension))
                let stride = layout.stride(view, dimension, rank: array.shape.count)
                put(UInt64(bitPattern: Int64(array.strides[dimension])), stride)
            }
        }
        for (scalar, constant) in scalars.enumerated() {
            put(constant.laneBits, layout.scalars[scalar], constant.element == .index ? 8 : 4)
        }
        put(UInt64(programs), layout.programs)
        parameters = bytes
    }

    private mutating func startBlock(_ number: Int) {
        block = number
        // Registers and shared memory start as noise: a kernel that reads them unwritten shows.
        Self.fill(&registers, with: 0x7FC0_BAD0_7FC0_BAD0, count: threads * registerCount)
        let blocks = Swift.max(function.schedule.blocks, function.clusterBlocks)
        Self.fill(&shared, with: 0xBD, count: function.sharedBytes * blocks)
        Self.fill(&local, with: 0xBD, count: function.localBytes * threads)
        if touches.count != shared.count { touches = [Touch](repeating: Touch(), count: shared.count) }
        era += 1
        (copiesInFlight, copyGroup) = ([:], 0)
        meeting = .unmet
        product = ProductState()
    }

    /// Gives all elements one value, in the memory that there is from the block before.
    private static func fill<T>(_ array: inout [T], with value: T, count: Int) {
        if array.count != count {
            array = [T](repeating: value, count: count)
        } else {
            array.withUnsafeMutableBufferPointer { $0.update(repeating: value) }
        }
    }

    // MARK: Control

    mutating func run(_ statements: [Statement], _ group: Range<Int>) throws {
        for statement in statements {
            switch statement {
            case .instruction(let instruction): try step(instruction, group)
            case .loop(let counter, let from, let to, let step, let body):
                let first = try uniform(from, group, "a loop's start")
                for thread in group { self[counter, thread] = first }
                while Int64(bitPattern: self[counter, group.lowerBound])
                    < Int64(bitPattern: try uniform(to, group, "a loop's end"))
                {
                    try run(body, group)
                    let increment = try uniform(step, group, "a loop's step")
                    for thread in group { self[counter, thread] = self[counter, thread] &+ increment }
                }
            case .conditional(let predicate, let then, let otherwise):
                let taken = try uniform(.register(predicate), group, "a condition")
                try run(taken & 1 == 1 ? then : otherwise, group)
            case .selected(let predicate, let body): try runSelected(predicate, body, group)
            case .roles(let roles): try run(roles)
            case .programs(let body): try runPrograms(body, group)
            }
        }
    }

    mutating func runSelected(_ predicate: Register, _ body: [Statement], _ group: Range<Int>) throws {
        for thread in group where self[predicate, thread] & 1 == 1 { try run(body, thread..<(thread + 1)) }
    }

    func uniform(_ source: Source, _ group: Range<Int>, _ what: String) throws -> UInt64 {
        let value = read(source, group.lowerBound)
        for thread in group where read(source, thread) != value {
            throw EmulationError(
                description: "kernel \(function.name): \(what) differs between threads of one program")
        }
        return value
    }

    // MARK: Registers

    subscript(register: Register, thread: Int) -> UInt64 {
        get { registers[thread * registerCount + register.number] }
        set { registers[thread * registerCount + register.number] = newValue }
    }

    func read(_ source: Source, _ thread: Int) -> UInt64 {
        switch source {
        case .register(let register): self[register, thread]
        case .bits(let bits): bits
        }
    }

    func isOn(_ instruction: Instruction, _ thread: Int) -> Bool {
        instruction.guardedBy.map { self[$0, thread] & 1 == 1 } ?? true
    }

    // MARK: Instructions

    mutating func step(_ instruction: Instruction, _ group: Range<Int>) throws {
        switch instruction.kind {
        case .barrier:
            if function.schedule.blocks > 1 { throw error("a block's barrier does not stop its cluster") }
            era += 1
        case .clusterArrive:
            if meeting == .arrived { throw error("the cluster arrives twice without waiting") }
            meeting = .arrived
        case .clusterWait:
            if meeting != .arrived { throw error("the cluster waits without having arrived") }
            meeting = .met
            era += 1
        case .shuffle(let distance, let width): try shuffle(instruction, distance, width, group)
        case .load(let space, let dtype, let offset):
            for thread in group { try load(instruction, space, dtype, offset, thread) }
        case .store(let space, let dtype, let offset):
            for thread in group { try store(instruction, space, dtype, offset, thread) }
        case .copy(let from, let to):
            for thread in group where isOn(instruction, thread) {
                try copy(instruction, from: from, to: to, thread)
            }
        case .copyCommit: copyGroup += 1
        case .copyWait(let pending):
            copiesInFlight = copiesInFlight.filter { $0.value >= copyGroup - pending }
        case .prefetch: break
        case .product(let step):
            if try !self.step(step, instruction, group) { throw error("a wait outside of roles") }
        case .fail:
            for thread in group where isOn(instruction, thread) {
                let values = instruction.sources.dropFirst().map {
                    Int(Int64(bitPattern: read($0, thread)))
                }
                if failure == nil { failure = (values[0], values[1], values[2]) }
            }
        default:
            compute(instruction, group)
        }
    }

    private func error(_ what: String) -> EmulationError {
        EmulationError(description: "kernel \(function.name): \(what)")
    }

    private mutating func shuffle(
        _ instruction: Instruction, _ distance: Int, _ width: Int, _ group: Range<Int>
    ) throws {
        if width > function.warpThreads {
            throw error("\(width) threads exchange registers; a warp has \(function.warpThreads)")
        }
        let before = group.map { read(instruction.sources[0], $0) }
        for (i, thread) in group.enumerated() {
            self[instruction.results[0], thread] = before[(i / width * width) + ((i % width) ^ distance)]
        }
    }

    /// What is decided by the instruction alone is decided once for all threads: this is where emulation spends its time.
    private mutating func compute(_ instruction: Instruction, _ group: Range<Int>) {
        switch instruction.kind {
        case .move: set(instruction, group) { a, _, _ in a }
        case .parameter(let offset):
            let value = parameter(at: offset, function.type(instruction.results[0]) == .b64 ? 8 : 4)
            set(instruction, group) { _, _, _ in value }
        case .threadIndex:
            setPerThread(instruction, group) { UInt64($1 % $0.function.schedule.blockThreads) }
        case .blockIndex: setPerThread(instruction, group) { UInt64($0.block + $0.rank($1)) }
        case .peerAddress: set(instruction, group) { a, b, _ in a | (b & 0xFFFF_FFFF) << 32 }
        case .arithmetic(let arithmetic, let type):
            set(instruction, group) { a, b, c in Scalar.compute(arithmetic, type, a, b, c) }
        case .compare(let comparison, let type):
            set(instruction, group) { a, b, _ in Scalar.compare(comparison, type, a, b) ? 1 : 0 }
        case .select: set(instruction, group) { a, b, c in a & 1 == 1 ? b : c }
        case .convert(let from, let to): set(instruction, group) { a, _, _ in Scalar.convert(a, from, to) }
        case .widen(let dtype, let isHigh, _):
            set(instruction, group) { a, _, _ in Scalar.widen(a >> (isHigh ? 16 : 0) & 0xFFFF, dtype) }
        case .narrowPair(let dtype):
            set(instruction, group) { a, b, _ in
                Scalar.narrow(a, dtype) | Scalar.narrow(b, dtype) << 16
            }
        case .round(let dtype):
            set(instruction, group) { a, _, _ in Scalar.widen(Scalar.narrow(a, dtype), dtype) }
        default: preconditionFailure("\(instruction.kind) is no arithmetic")
        }
    }

    private func parameter(at offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(parameters[offset + $1]) << (8 * UInt64($1)) }
    }

    /// Gives the result of threads that an instruction is on for, from up to three sources; those that it lacks are 0.
    @inline(__always)
    private mutating func set(
        _ instruction: Instruction, _ group: Range<Int>, _ value: (UInt64, UInt64, UInt64) -> UInt64
    ) {
        let sources = instruction.sources
        func source(_ i: Int) -> Source { i < sources.count ? sources[i] : .bits(0) }
        let (a, b, c) = (source(0), source(1), source(2))
        let result = instruction.results[0], predicate = instruction.guardedBy
        for thread in group {
            if let predicate, self[predicate, thread] & 1 == 0 { continue }
            self[result, thread] = value(read(a, thread), read(b, thread), read(c, thread))
        }
    }

    private mutating func setPerThread(
        _ instruction: Instruction, _ group: Range<Int>, _ value: (Self, Int) -> UInt64
    ) {
        for thread in group where isOn(instruction, thread) {
            self[instruction.results[0], thread] = value(self, thread)
        }
    }
}

extension Constant {
    var laneBits: UInt64 {
        switch self {
        case .f32(let bits): UInt64(bits)
        case .i32(let value): UInt64(UInt32(bitPattern: value))
        case .u32(let value): UInt64(value)
        case .index(let value): UInt64(bitPattern: Int64(value))
        case .mask(let value): value ? 1 : 0
        }
    }
}
