import Tile

// What threads found is folded over the threads of a warp by shuffles, then over the warps of a block or cluster through
// shared memory: always in the same order.
extension ThreadEmitter {
    /// The results of all threads of the program, in each of them.
    func combineThreads(_ partials: [Partial], _ fold: FoldPlan, _ phase: Int) -> [Partial] {
        let warps = partials.map { shuffle($0, fold.shuffleWidth) }
        guard let exchange = plan.memory.exchanges[phase] else { return warps }
        return combineWarps(warps, fold, exchange, phase)
    }

    private func shuffle(_ partial: Partial, _ width: Int) -> Partial {
        var result = partial
        var distance = width / 2
        while distance >= 1 {
            let other = result.registers.map { register in
                out.make(
                    out.registers[register.number], .shuffle(xor: distance, width: width),
                    [.register(register)])
            }
            result.registers = combine(partial.reduction, partial.element, result.registers, other)
            distance /= 2
        }
        return result
    }

    /// Every warp publishes what it found to all blocks of the program; then each warp folds what all published.
    private func combineWarps(
        _ partials: [Partial], _ fold: FoldPlan, _ exchange: MemoryPlan.Exchange, _ phase: Int
    ) -> [Partial] {
        let base = base(exchange)
        let (warpThreads, thread) = (plan.limits.warpThreads, Source.register(place.thread))
        let lane = out.b32(.and, .u32, thread, .integer(warpThreads - 1))
        let warp = out.b32(.shiftRight, .u32, thread, .integer(warpThreads.trailingZeroBitCount))
        let own = address(of: warp, from: base)
        waitForPeers(at: .exchange(phase: phase))
        publish(partials.flatMap(\.registers), at: own, stride: fold.warps * 4, lane)
        synchronise()
        var offset = 0
        return partials.map { partial in
            defer { offset += partial.registers.count * fold.warps * 4 }
            return foldWarps(partial, fold, from: base, offset: offset, lane)
        }
    }

    /// Stores a warp's results, one lane to each block.
    private func publish(_ registers: [Register], at address: Register, stride: Int, _ lane: Register) {
        let (space, isWriter): (Space, Register)
        var address = address
        if plan.cluster.isCluster {
            isWriter = out.compare(.less, .s32, .register(lane), .integer(schedule.blocks))
            address = out.make(
                .b64, .peerAddress, [.register(address), .register(lane)], guardedBy: isWriter)
            space = .cluster
        } else {
            isWriter = out.compare(.equal, .s32, .register(lane), .integer(0))
            space = .shared
        }
        for (i, register) in registers.enumerated() {
            out.emit(
                .store(space, dtype(register), offset: i * stride),
                [.register(address), .register(register)], guardedBy: isWriter)
        }
    }

    /// Every warp's result is written before any is read.
    private func synchronise() {
        guard plan.cluster.isCluster else { return out.emit(.barrier, []) }
        out.emit(.clusterArrive, [])
        out.emit(.clusterWait, [])
    }

    /// What all warps found, in each lane: a lane folds those of every `readers`-th warp, in order, then lanes exchange.
    private func foldWarps(
        _ partial: Partial, _ fold: FoldPlan, from base: Source, offset: Int, _ lane: Register
    ) -> Partial {
        let neutral = identity(partial.reduction, partial.element)
        let slot = out.b32(.and, .u32, .register(lane), .integer(fold.readers - 1))
        let address = address(of: slot, from: base)
        let loads = stride(from: 0, to: fold.warps, by: fold.readers).map { first in
            let exists =
                first + fold.readers <= fold.warps
                ? nil : out.compare(.less, .s32, .register(slot), .integer(fold.warps - first))
            return partial.registers.enumerated().map { i, register in
                let type = out.registers[register.number]
                let loaded = out.make(
                    type, .load(.shared, dtype(register), offset: offset + (i * fold.warps + first) * 4),
                    [.register(address)], guardedBy: exists)
                guard let exists else { return loaded }
                return out.select(type, exists, .register(loaded), neutral[i].value)
            }
        }
        var folded = partial
        folded.registers = loads.dropFirst().reduce(loads[0]) {
            combine(partial.reduction, partial.element, $0, $1)
        }
        return shuffle(folded, fold.readers)
    }

    /// Where an exchange starts in shared memory.
    private func base(_ exchange: MemoryPlan.Exchange) -> Source {
        guard exchange.alternates else { return .integer(exchange.offset) }
        let (next, base) = (out.register(.b64), out.register(.b64))
        initial.append((next, exchange.offset))
        out.move(.register(next), to: base)
        out.write(
            next, .arithmetic(.subtract, .s64),
            [.integer(2 * exchange.offset + exchange.bytes), .register(next)])
        return .register(base)
    }

    private func address(of index: Register, from base: Source) -> Register {
        let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(index)])
        return out.b64(.add, .register(out.b64(.multiply, .register(wide), .integer(4))), base)
    }

    private func dtype(_ register: Register) -> DType { out.registers[register.number] == .f32 ? .f32 : .i32 }
}
