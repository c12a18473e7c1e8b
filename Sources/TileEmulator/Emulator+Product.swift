import Tile
import TileGPU

/// What the copy engine, the barriers and the tensor cores have in hand. Copies and products are carried out as late as
/// the program's waits allow, so that a wait that is missing shows.
struct ProductState {
    struct Barrier {
        let arrivals: Int
        var awaited: Int
        var bytes = 0
        var phase = 0
    }

    struct Copy {
        let map: TensorMap
        let x: Int
        let y: Int
        /// Where in all blocks' shared memory the tile goes, and which barriers hear of it.
        let targets: [Int]
        let barriers: [Int]

        var byteCount: Int { map.rows * map.columns * 2 }
        func fills(_ bytes: Range<Int>) -> Bool {
            targets.contains { ($0..<($0 + byteCount)).overlaps(bytes) }
        }
    }

    /// Sixteen elements of some lines in shared memory.
    struct Lines {
        let place: Int
        let count: Int
        let isColumns: Bool
        /// Bytes from 64 columns to the next.
        let next: Int

        /// The bytes that they are in, and some between them.
        var bytes: [Range<Int>] {
            if !isColumns { return [place..<(place + (count - 1) * 128 + 32)] }
            return stride(from: 0, to: count, by: 64).map { first in
                let start = place + first / 64 * next
                return start..<(start + 16 * 128)
            }
        }

        /// Where an element of a line is, before swizzling.
        func byte(_ line: Int, _ k: Int) -> Int {
            isColumns ? place + line / 64 * next + line % 64 * 2 + k * 128 : place + line * 128 + k * 2
        }
    }

    struct Multiplication {
        let a: Lines
        let b: Lines
        let dtype: DType
        let sums: [Register]
        let threads: Range<Int>
        /// Whether to what the sums hold, or to 0.
        let adds: Bool

        var reads: [Range<Int>] { a.bytes + b.bytes }
    }

    var barriers: [Int: Barrier] = [:]
    var copies: [Copy] = []
    /// By the first thread of each group: groups of products, of which the last is not committed.
    var products: [Int: [[Multiplication]]] = [:]
    /// Groups of threads whose accumulators the tensor cores know of.
    var fenced: Set<Int> = []
    var gridBlocks = 1
}

extension Emulator {
    /// One step of a product for a group of threads. False where the group has to wait.
    mutating func step(
        _ step: ProductStep, _ instruction: Instruction, _ group: Range<Int>
    ) throws -> Bool {
        let leader = group.lowerBound
        func value(_ source: Int, _ thread: Int) -> Int {
            Int(Int64(bitPattern: read(instruction.sources[source], thread)))
        }
        switch step {
        case .gridBlocks:
            for thread in group { self[instruction.results[0], thread] = UInt64(product.gridBlocks) }
        case .initBarrier(let arrivals):
            for thread in group where isOn(instruction, thread) {
                product.barriers[inBlock(value(0, thread), thread)] = .init(
                    arrivals: arrivals, awaited: arrivals)
            }
        case .publishBarriers: break
        case .expect(let bytes):
            try change(inBlock(value(0, leader), leader)) {
                $0.bytes += bytes; $0.awaited -= 1
            }
        case .arrive:
            for thread in group where isOn(instruction, thread) {
                let rank = function.clusterBlocks == 1 ? rank(thread) : value(1, thread)
                try change(rank * function.sharedBytes + value(0, thread)) { $0.awaited -= 1 }
            }
        case .await: return try hasEnded(inBlock(value(0, leader), leader), value(1, leader))
        case .copyTile(let map, let blocks):
            try beginCopy(map, blocks, leader, (0..<4).map { value($0, leader) })
        case .describe(let form):
            for thread in group {
                self[instruction.results[0], thread] = UInt64(value(0, thread) >> 4) | form.bits
            }
        case .fence: product.fenced.insert(leader)
        case .multiply(let columns, let dtype, let columnsOfA, let columnsOfB):
            try multiply(columns, dtype, [columnsOfA, columnsOfB], instruction, group)
        case .commit: product.products[leader, default: [[]]].append([])
        case .wait(let pending): finish(leader, leaving: pending)
        }
        return true
    }

    private func inBlock(_ place: Int, _ thread: Int) -> Int {
        rank(thread) * function.sharedBytes + place
    }

    // MARK: Barriers

    private mutating func change(_ place: Int, _ body: (inout ProductState.Barrier) -> Void) throws {
        guard var barrier = product.barriers[place] else {
            throw problem("a barrier at byte \(place) that was not initialised")
        }
        body(&barrier)
        if barrier.awaited < 0 { throw problem("more arrivals at the barrier at \(place) than it awaits") }
        if barrier.awaited == 0 && barrier.bytes == 0 {
            barrier.phase += 1
            barrier.awaited = barrier.arrivals
        }
        product.barriers[place] = barrier
    }

    private func hasEnded(_ place: Int, _ parity: Int) throws -> Bool {
        guard let barrier = product.barriers[place] else {
            throw problem("a wait at byte \(place), where no barrier was initialised")
        }
        return barrier.phase & 1 != parity
    }

    // MARK: Copies

    private mutating func beginCopy(_ map: Int, _ blocks: Int, _ thread: Int, _ values: [Int]) throws {
        let ranks = blocks == 1 ? [rank(thread)] : Array(0..<blocks)
        let copy = ProductState.Copy(
            map: function.maps[map], x: values[2], y: values[3],
            targets: ranks.map { $0 * function.sharedBytes + values[0] },
            barriers: ranks.map { $0 * function.sharedBytes + values[1] })
        if values[0] % 1024 != 0 || values[0] + copy.byteCount > function.sharedBytes {
            throw problem("a tile is copied to byte \(values[0]), off a multiple of 1024 or outside")
        }
        for multiplication in product.products.values.joined().joined() {
            for bytes in multiplication.reads where copy.fills(bytes) {
                throw problem("a tile is copied over shared byte \(bytes.lowerBound), which a product reads")
            }
        }
        product.copies.append(copy)
    }

    /// Carries out the oldest copy.
    mutating func deliverCopy() throws {
        let copy = product.copies.removeFirst()
        let array = views[copy.map.view]
        for row in 0..<copy.map.rows {
            for column in 0..<copy.map.columns {
                let (y, x) = (copy.y + row, copy.x + column)
                let isInside = y >= 0 && x >= 0 && y < array.shape[0] && x < array.shape[1]
                let element = array.base.assumingMemoryBound(to: UInt16.self)
                let bits = isInside ? element[y * array.strides[0] + x * array.strides[1]] : 0
                for target in copy.targets {
                    let place = Self.swizzled(target + row * 128 + column * 2, function.sharedBytes)
                    shared[place] = UInt8(truncatingIfNeeded: bits)
                    shared[place + 1] = UInt8(bits >> 8)
                }
            }
        }
        for barrier in copy.barriers { try change(barrier) { $0.bytes -= copy.byteCount } }
    }

    /// Where 128-byte rows have their 16-byte pieces: bits 4 to 6 of an address are changed by bits 7 to 9.
    private static func swizzled(_ place: Int, _ blockBytes: Int) -> Int {
        let (block, inBlock) = (place / blockBytes * blockBytes, place % blockBytes)
        return block + (inBlock ^ (inBlock >> 7 & 7) << 4)
    }

    // MARK: Products

    private mutating func multiply(
        _ columns: Int, _ dtype: DType, _ areColumns: [Bool], _ instruction: Instruction,
        _ group: Range<Int>
    ) throws {
        let leader = group.lowerBound
        if group.count != 128 { throw problem("\(group.count) threads multiply; 128 do so together") }
        if !product.fenced.contains(leader) { throw problem("a product of accumulators before a fence") }
        let lines = try (0..<2).map { i in
            let description = Int(read(instruction.sources[i], leader))
            func field(_ bit: Int) -> Int { (description >> bit & 0x3FFF) << 4 }
            if field(32) != 1024 || description >> 62 != 1 {
                throw problem("a tile whose eight rows of 128 swizzled bytes are not 1024 bytes")
            }
            return ProductState.Lines(
                place: inBlock(field(0), leader), count: i == 0 ? 64 : columns, isColumns: areColumns[i],
                next: field(16))
        }
        let multiplication = ProductState.Multiplication(
            a: lines[0], b: lines[1], dtype: dtype, sums: instruction.results, threads: group,
            adds: instruction.sources.count < 3 || read(instruction.sources[2], leader) != 0)
        for bytes in multiplication.reads {
            if product.copies.contains(where: { $0.fills(bytes) }) {
                throw problem("a product reads shared byte \(bytes.lowerBound), which a copy has yet to fill")
            }
        }
        var groups = product.products[leader] ?? [[]]
        groups[groups.count - 1].append(multiplication)
        product.products[leader] = groups
    }

    /// Carries out the oldest groups of products.
    private mutating func finish(_ leader: Int, leaving pending: Int) {
        var groups = product.products[leader] ?? [[]]
        while groups.count - 1 > pending {
            for multiplication in groups.removeFirst() { compute(multiplication) }
        }
        product.products[leader] = groups
        if pending == 0 { product.fenced.remove(leader) }
    }

    /// That a group's accumulators are its own again.
    func checkFinished(_ group: Range<Int>) throws {
        if product.products[group.lowerBound]?.contains(where: { !$0.isEmpty }) ?? false {
            throw problem("accumulators are read before their products were waited for")
        }
    }

    private mutating func compute(_ multiplication: ProductState.Multiplication) {
        let a = elements(multiplication.a, multiplication.dtype)
        let b = elements(multiplication.b, multiplication.dtype)
        for (i, register) in multiplication.sums.enumerated() {
            for (t, thread) in multiplication.threads.enumerated() {
                let row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8
                let column = i / 4 * 8 + t % 4 * 2 + i % 2
                var sum: Float = 0
                for k in 0..<16 { sum += a[row * 16 + k] * b[column * 16 + k] }
                let before = multiplication.adds ? Scalar.float(self[register, thread]) : 0
                self[register, thread] = Scalar.bits(before + sum)
            }
        }
    }

    /// Sixteen elements of each line.
    private func elements(_ lines: ProductState.Lines, _ dtype: DType) -> [Float] {
        var values: [Float] = []
        values.reserveCapacity(lines.count * 16)
        for line in 0..<lines.count {
            for k in 0..<16 {
                let byte = Self.swizzled(lines.byte(line, k), function.sharedBytes)
                let bits = UInt64(shared[byte]) | UInt64(shared[byte + 1]) << 8
                values.append(Scalar.float(Scalar.widen(bits, dtype)))
            }
        }
        return values
    }

    func problem(_ what: String) -> EmulationError {
        EmulationError(description: "kernel \(function.name): \(what)")
    }
}
