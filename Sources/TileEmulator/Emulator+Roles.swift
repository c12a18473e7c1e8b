import Tile
import TileGPU

/// Threads that run a role's statements in step, and how far they have come.
private struct Strand {
    struct Frame {
        let statements: [Statement]
        var next = 0
        /// Of a loop's body: the counter, the end and the step.
        var loop: (counter: Register, to: Source, step: Source)?
    }

    let name: String
    let group: Range<Int>
    var frames: [Frame]
}

extension Emulator {
    /// Runs roles beside each other: each as far as its waits allow, and copies only once nothing else can go on.
    mutating func run(_ roles: [ThreadRole]) throws {
        var strands = strands(roles)
        while strands.contains(where: { !$0.frames.isEmpty }) {
            var hasMoved = false
            for i in strands.indices where try advance(&strands[i]) { hasMoved = true }
            if hasMoved { continue }
            if product.copies.isEmpty {
                let waiting = strands.filter { !$0.frames.isEmpty }.map { "\($0.name) \($0.group)" }
                throw problem("all threads wait for each other: \(waiting.joined(separator: ", "))")
            }
            try deliverCopy()
        }
        if !product.copies.isEmpty { throw problem("copies that nobody has waited for") }
        for strand in strands { try checkFinished(strand.group) }
    }

    private func strands(_ roles: [ThreadRole]) -> [Strand] {
        (0..<function.clusterBlocks).flatMap { rank in
            roles.flatMap { role -> [Strand] in
                let first = rank * function.schedule.blockThreads + role.threads.lowerBound
                let frames = [Strand.Frame(statements: role.body)]
                if role.isOneThread {
                    return [Strand(name: role.name, group: first..<(first + 1), frames: frames)]
                }
                return stride(from: 0, to: role.threads.count, by: 128).map {
                    Strand(name: role.name, group: (first + $0)..<(first + $0 + 128), frames: frames)
                }
            }
        }
    }

    /// Runs a strand until it has to wait or ends. False where it could do nothing.
    private mutating func advance(_ strand: inout Strand) throws -> Bool {
        var hasMoved = false
        while let frame = strand.frames.last {
            guard frame.next < frame.statements.count else {
                try finish(&strand)
                hasMoved = true
                continue
            }
            let depth = strand.frames.count - 1
            switch frame.statements[frame.next] {
            case .instruction(let instruction):
                if case .product(let step) = instruction.kind {
                    if try !self.step(step, instruction, strand.group) { return hasMoved }
                } else {
                    try self.step(instruction, strand.group)
                }
            case .loop(let counter, let from, let to, let step, let body):
                let first = try uniform(from, strand.group, "a loop's start")
                for thread in strand.group { self[counter, thread] = first }
                if try isBelow(counter, to, strand.group) {
                    strand.frames.append(.init(statements: body, loop: (counter, to, step)))
                }
            case .conditional(let predicate, let then, let otherwise):
                let taken = try uniform(.register(predicate), strand.group, "a condition")
                strand.frames.append(.init(statements: taken & 1 == 1 ? then : otherwise))
            case .selected(let predicate, let body): try runSelected(predicate, body, strand.group)
            case .programs(let body):
                try checkFinished(strand.group)
                try runPrograms(body, strand.group)
            case .roles: throw problem("roles within a role")
            }
            strand.frames[depth].next += 1
            hasMoved = true
        }
        return hasMoved
    }

    /// Ends a list of statements, or begins a loop's next turn.
    private mutating func finish(_ strand: inout Strand) throws {
        let last = strand.frames.count - 1
        if let loop = strand.frames[last].loop {
            let step = try uniform(loop.step, strand.group, "a loop's step")
            for thread in strand.group { self[loop.counter, thread] = self[loop.counter, thread] &+ step }
            if try isBelow(loop.counter, loop.to, strand.group) {
                strand.frames[last].next = 0
                return
            }
        }
        strand.frames.removeLast()
    }

    private func isBelow(_ counter: Register, _ to: Source, _ group: Range<Int>) throws -> Bool {
        Int64(bitPattern: self[counter, group.lowerBound])
            < Int64(bitPattern: try uniform(to, group, "a loop's end"))
    }

    /// Each program's own threads.
    mutating func runPrograms(_ body: [Statement], _ group: Range<Int>) throws {
        for first in stride(from: group.lowerBound, to: group.upperBound, by: function.schedule.threads) {
            try run(body, first..<(first + function.schedule.threads))
        }
    }
}
