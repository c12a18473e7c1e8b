import Tile
import TileGPU

extension Emulator {
    mutating func load(
        _ instruction: Instruction, _ space: Space, _ dtype: DType, _ offset: Int, _ thread: Int
    ) throws {
        guard isOn(instruction, thread) else {
            for result in instruction.results { self[result, thread] = 0 }
            return
        }
        let address = read(instruction.sources[0], thread) &+ UInt64(bitPattern: Int64(offset))
        let count = instruction.results.count
        try check(address, count * dtype.byteCount, space, thread, writes: false)
        for (i, result) in instruction.results.enumerated() {
            let place = address + UInt64(i * dtype.byteCount)
            self[result, thread] = Scalar.widen(bits(space, place, dtype.byteCount, thread), dtype)
        }
    }

    mutating func store(
        _ instruction: Instruction, _ space: Space, _ dtype: DType, _ offset: Int, _ thread: Int
    ) throws {
        guard isOn(instruction, thread) else { return }
        let address = read(instruction.sources[0], thread) &+ UInt64(bitPattern: Int64(offset))
        let values = instruction.sources.dropFirst()
        try check(address, values.count * dtype.byteCount, space, thread, writes: true)
        for (i, value) in values.enumerated() {
            let place = address + UInt64(i * dtype.byteCount)
            set(Scalar.narrow(read(value, thread), dtype), space, place, dtype.byteCount, thread)
        }
    }

    /// Fills 16 bytes of shared memory, which may be read once the copy has been waited for.
    mutating func copy(_ instruction: Instruction, from: Int, to: Int, _ thread: Int) throws {
        let target = read(instruction.sources[0], thread) &+ UInt64(bitPattern: Int64(to))
        let source = read(instruction.sources[1], thread) &+ UInt64(bitPattern: Int64(from))
        try check(source, 16, .global, thread, writes: false)
        try check(target, 16, .shared, thread, writes: true)
        for byte in 0..<16 {
            set(bits(.global, source + UInt64(byte), 1, thread), .shared, target + UInt64(byte), 1, thread)
            copiesInFlight[place(.shared, target, thread) + byte] = copyGroup
        }
    }

    private func bits(_ space: Space, _ address: UInt64, _ count: Int, _ thread: Int) -> UInt64 {
        var value: UInt64 = 0
        switch space {
        case .global:
            guard let bytes = UnsafePointer<UInt8>(bitPattern: UInt(address)) else { return 0 }
            for i in 0..<count { value |= UInt64(bytes[i]) << (8 * UInt64(i)) }
        case .shared, .cluster:
            let first = place(space, address, thread)
            for i in 0..<count { value |= UInt64(shared[first + i]) << (8 * UInt64(i)) }
        case .local:
            let first = thread * function.localBytes + Int(address)
            for i in 0..<count { value |= UInt64(local[first + i]) << (8 * UInt64(i)) }
        }
        return value
    }

    private mutating func set(
        _ value: UInt64, _ space: Space, _ address: UInt64, _ count: Int, _ thread: Int
    ) {
        func byte(_ i: Int) -> UInt8 { UInt8(truncatingIfNeeded: value >> (8 * UInt64(i))) }
        switch space {
        case .global:
            guard let bytes = UnsafeMutablePointer<UInt8>(bitPattern: UInt(address)) else { return }
            for i in 0..<count { bytes[i] = byte(i) }
        case .shared, .cluster:
            let first = place(space, address, thread)
            for i in 0..<count { shared[first + i] = byte(i) }
        case .local:
            let first = thread * function.localBytes + Int(address)
            for i in 0..<count { local[first + i] = byte(i) }
        }
    }

    /// The position of an address of shared memory in that of all blocks. One of another block has its number above 32
    /// bits.
    private func place(_ space: Space, _ address: UInt64, _ thread: Int) -> Int {
        let block = space == .cluster ? Int(address >> 32) : rank(thread)
        return block * function.sharedBytes + Int(address & 0xFFFF_FFFF)
    }

    /// That an access has a size that GPUs know, is inside its memory, at its alignment, and races with no other thread's.
    private mutating func check(
        _ address: UInt64, _ count: Int, _ space: Space, _ thread: Int, writes: Bool
    ) throws {
        func error(_ what: String) -> EmulationError { accessError(thread, writes, what) }
        if count > 16 { throw error("\(count) bytes at a time; an access has at most 16") }
        if address % UInt64(count) != 0 {
            throw error("\(count) bytes at an address that is no multiple of it")
        }
        let end = address + UInt64(count)
        let isInside: Bool =
            switch space {
            case .global: arrays.contains { $0.lowerBound <= address && end <= $0.upperBound }
            case .shared: end <= UInt64(function.sharedBytes)
            case .cluster:
                end & 0xFFFF_FFFF <= UInt64(function.sharedBytes) && end >> 32 < function.schedule.blocks
            case .local: end <= UInt64(function.localBytes)
            }
        if !isInside {
            throw error("\(count) bytes outside \(space == .global ? "the launch's arrays" : "its memory")")
        }
        guard space == .shared || space == .cluster else { return }
        if space == .cluster && meeting != .met {
            throw error("a block's memory that may not run yet")
        }
        let first = place(space, address, thread)
        try noteTouch(first..<(first + count), thread, writes)
    }

    private func accessError(_ thread: Int, _ writes: Bool, _ what: String) -> EmulationError {
        let access = writes ? "store" : "load"
        return EmulationError(
            description: "kernel \(function.name), block \(block), thread \(thread): \(access) of \(what)")
    }

    /// That no copy has yet to fill bytes of shared memory, and that no other thread's access races.
    private mutating func noteTouch(_ bytes: Range<Int>, _ thread: Int, _ writes: Bool) throws {
        for byte in bytes {
            if !copiesInFlight.isEmpty, copiesInFlight[byte] != nil {
                throw accessError(thread, writes, "shared byte \(byte), which a copy has yet to fill")
            }
            let last = touches[byte]
            guard last.era == era else {
                touches[byte] = Touch(era: era, thread: thread, wrote: writes)
                continue
            }
            if (last.wrote || writes) && (last.thread != thread || last.isShared) {
                throw accessError(
                    thread, writes,
                    "shared byte \(byte) races with thread \(last.thread): a barrier is missing")
            }
            touches[byte].isShared = last.isShared || last.thread != thread
            touches[byte].wrote = last.wrote || writes
        }
    }
}
