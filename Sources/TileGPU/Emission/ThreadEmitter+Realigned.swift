import Tile

// Loads from an aligned row of lanes whose vectors begin elsewhere, as another row of theirs is at any address: a weight for
// such rows of x. A vector's lanes are in two aligned ones, from the same lane of the first on in all threads of a program.
extension ThreadEmitter {
    func loadRealigned(_ operation: Operation, _ view: Int, _ width: Int, _ chunk: Chunk) -> [Register] {
        guard let row = addresses.loads[operation.results[0]],
            let distance = shifts[chunk.length.number]?.distance
        else { return [] }
        let (vector, isPair) = (chunk.length.vector, plan.facts.bytes(view) == 2)
        let lag = out.b32(
            .and, .u32, .register(out.b32(.subtract, .s32, .integer(vector), .register(distance))),
            .integer(vector - 1))
        var words: [Register] = []
        for number in 0..<chunk.vectors {
            let first = first(number, of: chunk)
            let aligned = out.b32(.subtract, .s32, .register(first), .register(lag))
            let next = out.b32(.add, .s32, .register(aligned), .integer(vector))
            let both = [aligned, next].flatMap { wholeVector($0, row, view, width, chunk.length) }
            let own = moved(both, by: lag, isPair: isPair)
            loadCut(own, [aligned, next], first, row, view, chunk.length)
            words += own
        }
        return isPair ? widened(words, view, isAgain: false) : words
    }

    private func first(_ number: Int, of chunk: Chunk) -> Register {
        let ahead = chunk.ahead(number * chunk.length.vector)
        let first = out.b32(.add, .s32, .register(firstLane(chunk.length)), .integer(ahead))
        return chunk.start.map { out.b32(.add, .s32, .register(first), .register($0)) } ?? first
    }

    /// An aligned vector as it is stored, in registers of 4 bytes; zeros if it has a lane that does not exist.
    private func wholeVector(
        _ first: Register, _ row: Register, _ view: Int, _ width: Int, _ length: LengthPlan
    ) -> [Register] {
        let bytes = plan.facts.bytes(view)
        let address = out.b64(.add, .register(row), .register(ownBytes(first, bytes)))
        let guarding = isWhole(first, length)
        return stride(from: 0, to: length.vector, by: width).flatMap { lane in
            let isPair = bytes == 2
            let results = (0..<(width * bytes / 4)).map { _ in out.register(isPair ? .b32 : .f32) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, isPair ? .u32 : .f32, offset: lane * bytes), results: results,
                        sources: [.register(address)], guardedBy: guarding)))
            return results
        }
    }

    /// The registers of one vector out of two, from a lane of the first on.
    private func moved(_ words: [Register], by lag: Register, isPair: Bool) -> [Register] {
        let count = words.count / 2
        var (found, step) = (words, count / 2)
        while step > 0 {
            let isSet = isSet(isPair ? 2 * step : step, in: lag)
            found = (0..<(found.count - step)).map {
                out.select(
                    out.registers[found[$0].number], isSet, .register(found[$0 + step]), .register(found[$0]))
            }
            step /= 2
        }
        if !isPair { return Array(found.prefix(count)) }
        let isOdd = isSet(1, in: lag)
        return (0..<count).map { word in
            let low = out.b32(.shiftRight, .u32, .register(found[word]), .integer(16))
            let high = out.b32(.shiftLeft, .u32, .register(found[word + 1]), .integer(16))
            let across = out.b32(.or, .u32, .register(low), .register(high))
            return out.select(.b32, isOdd, .register(across), .register(found[word]))
        }
    }

    private func isSet(_ bit: Int, in number: Register) -> Register {
        let found = out.b32(.and, .u32, .register(number), .integer(bit))
        return out.compare(.notEqual, .s32, .register(found), .integer(0))
    }

    /// Of a vector with lanes of the row's last aligned one, which the row's end cuts, the lanes one by one.
    private func loadCut(
        _ words: [Register], _ aligned: [Register], _ first: Register, _ row: Register, _ view: Int,
        _ length: LengthPlan
    ) {
        if length.count == nil && length.capacity % length.vector == 0 { return }
        let (dtype, limit) = (function.views[view].dtype, lanes(length))
        let last = cut(limit, length.vector)
        let isCut = aligned.map { out.compare(.equal, .s32, .register($0), last) }
        let address = out.b64(.add, .register(row), .register(ownBytes(first, dtype.byteCount)))
        let statements = nested {
            var low = Source.float(0)
            for lane in 0..<length.vector {
                let value = out.make(
                    .f32, .load(.global, dtype, offset: lane * dtype.byteCount), [.register(address)],
                    guardedBy: exists(lane, from: first, below: limit))
                if dtype.byteCount == 4 {
                    out.move(.register(value), to: words[lane])
                } else if lane % 2 == 1 {
                    out.write(words[lane / 2], .narrowPair(dtype), [low, .register(value)])
                }
                low = .register(value)
            }
        }
        let isEither = out.make(
            .predicate, .arithmetic(.or, .predicate), [.register(isCut[0]), .register(isCut[1])])
        out.append(.selected(isEither, statements))
    }

    /// The last multiple of a vector's lanes up to so many.
    private func cut(_ limit: Source, _ vector: Int) -> Source {
        if case .bits(let bits) = limit { return .integer(Int(bits) / vector * vector) }
        let rest = out.b32(.and, .u32, limit, .integer(vector - 1))
        return .register(out.b32(.subtract, .s32, limit, .register(rest)))
    }
}
