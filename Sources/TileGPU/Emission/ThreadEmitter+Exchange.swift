import Tile

// Stores of a product's rows in 16 bits. The tensor cores leave a thread two lanes of every eight, 4 bytes of 16; memory
// wants 16 at a time.
extension ThreadEmitter {
    /// Of four vectors after another each of a row's four threads has a pair of lanes. They exchange, so that thread t has
    /// all pairs of vector t: a transposition of 4 x 4 pairs.
    func storeExchanged(_ operation: Operation, _ view: Int, _ lanes: [Register], _ chunk: Chunk) {
        let dtype = function.views[view].dtype
        let thread = place.thread
        let isOdd = bit(0, of: thread), isHigh = bit(1, of: thread)
        let ahead = ownBytes(thread, 16)
        let base = out.b64(.add, .register(address(operation, view, except: nil)), .register(ahead))
        for group in stride(from: 0, to: chunk.vectors, by: 4) {
            var pairs = (0..<4).map { vector in
                let lane = (group + vector) * 2
                return out.make(
                    .b32, .narrowPair(dtype), [.register(lanes[lane]), .register(lanes[lane + 1])])
            }
            exchange(&pairs, [(0, 2), (1, 3)], with: 2, isHigh)
            exchange(&pairs, [(0, 1), (2, 3)], with: 1, isOdd)
            out.append(
                .instruction(
                    Instruction(
                        kind: .store(.global, .u32, offset: (chunk.firstVector + group) * 16),
                        sources: [.register(base)] + pairs.map { .register($0) })))
        }
    }

    private func bit(_ number: Int, of register: Register) -> Register {
        let masked = out.b32(.and, .u32, .register(register), .integer(1 << number))
        return out.compare(.notEqual, .s32, .register(masked), .integer(0))
    }

    /// Swaps the second of each two with the first of the thread whose number differs in one bit: a thread that has the
    /// bit gives its first.
    private func exchange(
        _ pairs: inout [Register], _ swapped: [(Int, Int)], with distance: Int, _ hasBit: Register
    ) {
        for (first, second) in swapped {
            let (a, b) = (Source.register(pairs[first]), Source.register(pairs[second]))
            let given = out.select(.b32, hasBit, a, b)
            let taken = out.make(.b32, .shuffle(xor: distance, width: 4), [.register(given)])
            pairs[first] = out.select(.b32, hasBit, .register(taken), a)
            pairs[second] = out.select(.b32, hasBit, b, .register(taken))
        }
    }
}
