import Tile

// Lengths whose first and last vectors may have some lanes and not others (`WideLengths`).
//
// Such a vector is loaded as any other where all its bytes are in the array: what is not its row's is dropped. Where some
// are not, and in stores, each of its lanes is moved alone, behind a branch that the threads of other vectors do not take.
extension ThreadEmitter {
    /// Where vectors end, counted from where the first begins: the length, and how far that is before the row.
    func places(_ length: LengthPlan) -> Source {
        guard let distance = shifts[length.number]?.distance else { return end(length) }
        let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(distance)])
        return .register(out.b64(.add, end(length), .register(wide)))
    }

    /// Which lanes of a vector exist.
    func edge(_ length: LengthPlan, ahead: Int, start: Register?) -> VectorEdge {
        var first = out.b32(.add, .s32, .register(firstLane(length)), .integer(ahead))
        if let start { first = out.b32(.add, .s32, .register(first), .register(start)) }
        let (limit, last) = (lanes(length), length.vector - 1)
        let above = out.b32(.add, .s32, .register(first), .integer(last))
        // Lanes before the row are above all others as numbers without a sign.
        return VectorEdge(
            first: first, limit: limit, whole: isWhole(first, length),
            some: out.compare(.less, .u32, .register(above), sum(limit, last)))
    }

    /// Whether a vector that begins at a lane has no lane outside of the length.
    func isWhole(_ first: Register, _ length: LengthPlan) -> Register {
        out.compare(.less, .u32, .register(first), notBelow0(sum(lanes(length), 1 - length.vector)))
    }

    /// How many lanes a length has, in 32 bits.
    func lanes(_ length: LengthPlan) -> Source {
        guard let count = length.count.flatMap({ scalars[$0] }) else { return .integer(length.capacity) }
        return .register(out.make(.b32, .convert(from: .s64, to: .s32), [.register(count)]))
    }

    private func sum(_ source: Source, _ constant: Int) -> Source {
        if case .bits(let bits) = source { return .integer(Int(bits) + constant) }
        return .register(out.b32(.add, .s32, source, .integer(constant)))
    }

    private func notBelow0(_ source: Source) -> Source {
        if case .bits(let bits) = source { return .integer(Swift.max(0, Int(Int64(bitPattern: bits)))) }
        return .register(out.b32(.maximum, .s32, source, .integer(0)))
    }

    /// Whether a lane of a chunk exists; nil where it always does.
    func exists(_ lane: Int, _ chunk: Chunk) -> Register? {
        let vector = lane / chunk.length.vector
        if let edge = chunk.edge(of: vector) {
            return exists(lane % chunk.length.vector, from: edge.first, below: edge.limit)
        }
        return chunk.laneGuards?[lane] ?? chunk.guards[vector]
    }

    /// Whether the lane so many behind the first is one of the length.
    func exists(_ lane: Int, from first: Register, below limit: Source) -> Register {
        let number = lane == 0 ? first : out.b32(.add, .s32, .register(first), .integer(lane))
        return out.compare(.less, .u32, .register(number), limit)
    }

    // MARK: Vectors that are in the array

    /// Whether all vectors of a row are in its array, those that begin before it or end behind it too.
    func isInside(_ row: Register, _ view: Int, _ length: LengthPlan) -> Register {
        let bytes = plan.facts.bytes(view)
        var begin = row
        if let distance = shifts[length.number]?.distance {
            begin = out.b64(.subtract, .register(row), .register(ownBytes(distance, bytes)))
        }
        let array = out.parameter(.b64, parameters.views[view])
        let isBehind = out.compare(.lessOrEqual, .s64, .register(array), .register(begin))
        let end = out.b64(.add, .register(begin), wholeBytes(places(length), length.vector, bytes))
        return both(
            isBehind, out.compare(.lessOrEqual, .s64, .register(end), .register(arrayEnd(view, array))))
    }

    private func wholeBytes(_ lanes: Source, _ vector: Int, _ bytes: Int) -> Source {
        if case .bits(let bits) = lanes {
            return .integer((Int(bits) + vector - 1) / vector * vector * bytes)
        }
        let above = out.b64(.add, lanes, .integer(vector - 1))
        let vectors = out.b64(.divide, .register(above), .integer(vector))
        return .register(out.b64(.multiply, .register(vectors), .integer(vector * bytes)))
    }

    /// Behind an array's last element.
    private func arrayEnd(_ view: Int, _ array: Register) -> Register {
        let (sizes, strides) = (views[view].sizes, views[view].strides)
        let last = zip(sizes, strides).map { size, stride in
            out.b64(.multiply, .register(out.b64(.subtract, .register(size), .integer(1))), .register(stride))
        }
        let bytes = last.map { out.b64(.multiply, .register($0), .integer(plan.facts.bytes(view))) }
        let first = out.b64(.add, .register(array), .integer(plan.facts.bytes(view)))
        return bytes.reduce(first) { out.b64(.add, .register($0), .register($1)) }
    }

    /// Whether a vector is loaded at once: all its lanes exist, or some do and the row's vectors are in the array.
    func loadsWhole(_ edge: VectorEdge, _ inside: Register?) -> Register {
        guard let inside else { return edge.whole }
        let drops = both(edge.some, inside)
        return out.make(.predicate, .arithmetic(.or, .predicate), [.register(edge.whole), .register(drops)])
    }

    // MARK: Vectors that are moved lane by lane

    /// Lets the threads whose vectors exist in part move their lanes, each alone. Others go past.
    ///
    /// - Parameter inside: of a load whether the row's vectors are in the array, and so moved at once.
    func forEachPartialLane(
        _ chunk: Chunk, inside: Register?, where condition: Register? = nil,
        _ access: (_ lane: Int, _ guarding: Register) -> Void
    ) {
        for vector in 0..<chunk.vectors {
            guard let edge = chunk.edge(of: vector) else { continue }
            var isPartial = both(edge.some, not(edge.whole))
            if let inside { isPartial = both(isPartial, not(inside)) }
            let statements = nested {
                for i in 0..<chunk.length.vector {
                    access(
                        vector * chunk.length.vector + i, exists(i, from: edge.first, below: edge.limit))
                }
            }
            out.append(.selected(both(isPartial, condition), statements))
        }
    }

    /// Inputs of a reduction with neutral numbers in the place of lanes that do not exist, in vectors that may lack some. Only
    /// threads with such lanes look at each.
    func withoutEdges(_ inputs: [[Register]], _ neutral: [Source], _ chunk: Chunk) -> [[Register]] {
        let edges = (0..<chunk.vectors).compactMap { vector in chunk.edge(of: vector).map { (vector, $0) } }
        guard let first = edges.first else { return inputs }
        let wide = chunk.length.vector
        var copies = inputs
        for input in inputs.indices {
            for lane in edges.flatMap({ vector, _ in (vector * wide)..<((vector + 1) * wide) }) {
                copies[input][lane] = out.register(out.registers[inputs[input][lane].number])
                out.move(.register(inputs[input][lane]), to: copies[input][lane])
            }
        }
        let statements = nested {
            for (vector, edge) in edges {
                for i in 0..<wide {
                    let isThere = exists(i, from: edge.first, below: edge.limit)
                    for (lanes, neutral) in zip(copies, neutral) {
                        let lane = lanes[vector * wide + i]
                        out.write(lane, .select, [.register(isThere), .register(lane), neutral])
                    }
                }
            }
        }
        let areWhole = edges.dropFirst().reduce(first.1.whole) { both($0, $1.1.whole) }
        out.append(.selected(not(areWhole), statements))
        return copies
    }

    func not(_ predicate: Register) -> Register {
        out.make(.predicate, .arithmetic(.not, .predicate), [.register(predicate)])
    }
}
