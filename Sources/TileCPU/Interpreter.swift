import CVector
import Tile

/// An array of a launch, as the interpreter reads it. Unused dimensions have size 1 and stride 0.
struct BoundView {
    let base: UnsafeMutableRawPointer
    let sizes: SIMD4<Int>
    let strides: SIMD4<Int>
}

/// Runs a plan's instructions for batches of programs, on one thread, in one frame.
struct Interpreter {
    let instructions: UnsafeBufferPointer<Instruction>
    let accesses: UnsafeBufferPointer<Access>
    let views: UnsafeBufferPointer<BoundView>
    let contractions: UnsafeBufferPointer<ContractionAccess>
    let block: Int
    /// Programs of a column block.
    let rows: Int
    let frame: UnsafeMutableRawPointer

    /// The batch at hand.
    var firstProgram = 0
    var programs = 0
    /// The block at hand.
    var blockStart = 0
    var lanes = 0
    var total = 0
    var failure: LaunchFailure?

    /// Runs programs first ..< first + count, at most a batch.
    mutating func run(first: Int, count: Int) {
        (firstProgram, programs) = (first, count)
        var next = 0
        while next < instructions.count {
            let instruction = instructions[next]
            next += 1
            switch instruction.code {
            case .unary, .binary, .ternary, .splat, .iota: runLanes(instruction)
            case .load, .store, .gather: runMemory(instruction)
            case .stream:
                let place = frame + accesses[instruction.number].address
                cv_stream(
                    place.load(as: UnsafeMutableRawPointer.self) + blockStart * 4,
                    pointer(instruction.a), Int64(lanes))
            case .product: runProduct(instruction)
            case .reduceBegin, .reduce, .sumProduct, .reduceEnd: runReduction(instruction)
            case .index, .compareIndex, .convertIndex, .copyIndex, .programIndex, .columnBlock:
                runIndex(instruction)
            case .address: findAddress(accesses[instruction.number])
            case .loadScalar, .storeScalar: runScalarMemory(instruction)
            case .check: runCheck(instruction)
            case .blockBegin:
                total =
                    instruction.variant >= 0
                    ? Int(instruction.variant) : index(instruction.a, 0)
                blockStart = 0
                lanes = min(block, total)
                if total <= 0 { next = instruction.number }
            case .blockEnd:
                blockStart += block
                if blockStart < total {
                    lanes = min(block, total - blockStart)
                    next = instruction.number
                }
            case .loopBegin:
                for r in 0..<programs { setIndex(instruction.d, r, index(instruction.a, r)) }
                if index(instruction.a, 0) >= index(instruction.b, 0) { next = instruction.number }
            case .loopEnd:
                for r in 0..<programs {
                    setIndex(instruction.d, r, index(instruction.d, r) + index(instruction.a, r))
                }
                if index(instruction.d, 0) < index(instruction.b, 0) { next = instruction.number }
            case .branchIfNot:
                if (frame + Int(instruction.a.offset)).load(as: UInt32.self) == 0 {
                    next = instruction.number
                }
            case .jump: next = instruction.number
            }
            if failure != nil { return }
        }
    }

    /// The first lane of an operand in the block at hand.
    @inline(__always)
    func pointer(_ operand: Operand) -> UnsafeMutableRawPointer {
        let place = frame + Int(operand.offset)
        let advance = Int(operand.step) * blockStart
        return operand.place == .frame
            ? place + advance : place.load(as: UnsafeMutableRawPointer.self) + advance
    }

    @inline(__always)
    private func index(_ operand: Operand, _ program: Int) -> Int {
        (frame + Int(operand.offset)).load(fromByteOffset: program * 8, as: Int.self)
    }

    @inline(__always)
    private func setIndex(_ operand: Operand, _ program: Int, _ value: Int) {
        (frame + Int(operand.offset)).storeBytes(of: value, toByteOffset: program * 8, as: Int.self)
    }

    // MARK: Lanes

    @inline(__always)
    private func runLanes(_ instruction: Instruction) {
        let rows = instruction.isScalar ? 1 : programs
        let columns = instruction.isScalar ? programs : lanes
        // The plan took each pointer from CVector by the same operation code, so the types agree.
        switch instruction.code {
        case .unary:
            let function = unsafeBitCast(instruction.function, to: cv_unary.self)
            let a = instruction.isScalar ? frame + Int(instruction.a.offset) : pointer(instruction.a)
            let d = instruction.isScalar ? frame + Int(instruction.d.offset) : pointer(instruction.d)
            function(d, a, Int64(rows * columns))
        case .binary:
            let function = unsafeBitCast(instruction.function, to: cv_binary.self)
            function(
                destination(instruction), source(instruction.a, instruction),
                source(instruction.b, instruction), Int64(rows), Int64(columns))
        case .ternary:
            let function = unsafeBitCast(instruction.function, to: cv_ternary.self)
            function(
                destination(instruction), source(instruction.a, instruction),
                source(instruction.b, instruction), source(instruction.c, instruction),
                Int64(rows * columns))
        case .splat:
            if instruction.variant == 1 && blockStart > 0 { return }
            cv_splat(
                pointer(instruction.d), frame + Int(instruction.a.offset), Int64(rows), Int64(columns))
        default:
            if blockStart == 0 {
                cv_iota(
                    pointer(instruction.d), frame + Int(instruction.a.offset), Int64(rows),
                    Int64(columns))
            } else {
                let start = (frame + Int(instruction.a.offset)).load(as: Int32.self)
                var shifted = start &+ Int32(truncatingIfNeeded: blockStart)
                cv_iota(pointer(instruction.d), &shifted, 1, Int64(columns))
            }
        }
    }

    @inline(__always)
    private func destination(_ instruction: Instruction) -> UnsafeMutableRawPointer {
        instruction.isScalar ? frame + Int(instruction.d.offset) : pointer(instruction.d)
    }

    @inline(__always)
    private func source(_ operand: Operand, _ instruction: Instruction) -> UnsafeMutableRawPointer {
        instruction.isScalar ? frame + Int(operand.offset) : pointer(operand)
    }

    // MARK: Memory

    private mutating func runMemory(_ instruction: Instruction) {
        let access = accesses[instruction.number]
        let stride = views[access.view].strides[access.axis]
        let bytes = access.elementBytes
        let addresses = (frame + access.address).assumingMemoryBound(to: UnsafeMutableRawPointer.self)
        if instruction.code == .gather {
            gather(instruction, access, addresses, stride)
            return
        }
        let advance = blockStart * stride * bytes
        let register = pointer(instruction.code == .load ? instruction.d : instruction.a)
        let isOneRun = stride == 1 && isContiguous(addresses, lanes * bytes)
        let (rows, columns) = isOneRun ? (1, programs * lanes) : (programs, lanes)
        if instruction.code == .load {
            let load = unsafeBitCast(instruction.function, to: cv_load.self)
            for r in 0..<rows {
                load(register + r * columns * 4, addresses[r] + advance, Int64(stride), Int64(columns))
            }
        } else {
            let store = unsafeBitCast(instruction.function, to: cv_store.self)
            for r in 0..<rows {
                store(addresses[r] + advance, Int64(stride), register + r * columns * 4, Int64(columns))
            }
        }
    }

    /// Whether the rows of the batch follow each other in memory.
    private func isContiguous(_ addresses: UnsafePointer<UnsafeMutableRawPointer>, _ bytes: Int) -> Bool {
        for r in 1..<max(programs, 1) where addresses[r] != addresses[r - 1] + bytes { return false }
        return true
    }

    private mutating func gather(
        _ instruction: Instruction, _ access: Access,
        _ addresses: UnsafePointer<UnsafeMutableRawPointer>, _ stride: Int
    ) {
        let size = views[access.view].sizes[access.axis]
        let positions = pointer(instruction.a).assumingMemoryBound(to: Int32.self)
        for i in 0..<(programs * lanes) where positions[i] < 0 || Int(positions[i]) >= size {
            fail(
                .outOfBounds(view: access.view, dimension: access.axis, index: Int(positions[i]), size: size),
                program: i / lanes)
            return
        }
        let d = pointer(instruction.d)
        for r in 0..<programs {
            cv_gather(
                instruction.selector, d + r * lanes * 4, addresses[r], positions + r * lanes,
                Int64(stride), Int64(lanes))
        }
    }

    /// Computes where each program's lanes lie, and that all of them lie within the view.
    private mutating func findAddress(_ access: Access) {
        let view = views[access.view]
        let lanes: Int =
            switch access.lanes {
            case .constant(let count): count
            case .frame(let offset): (frame + offset).load(as: Int.self)
            }
        for r in 0..<programs {
            var element = 0
            for dimension in 0..<access.rank {
                let isAxis = dimension == access.axis
                if isAxis && access.gathers { continue }
                let first = (frame + access.indices[dimension]).load(fromByteOffset: r * 8, as: Int.self)
                let last = isAxis ? first + lanes - 1 : first
                let size = view.sizes[dimension]
                if (first < 0 || last >= size) && lanes > 0 {
                    fail(
                        .outOfBounds(
                            view: access.view, dimension: dimension, index: first < 0 ? first : last,
                            size: size), program: r)
                    return
                }
                element += first * view.strides[dimension]
            }
            let address = view.base + element * access.elementBytes
            (frame + access.address).storeBytes(
                of: address, toByteOffset: r * 8, as: UnsafeMutableRawPointer.self)
        }
    }

    private func runScalarMemory(_ instruction: Instruction) {
        let access = accesses[instruction.number]
        let addresses = (frame + access.address).assumingMemoryBound(to: UnsafeMutableRawPointer.self)
        let isIndex = instruction.variant == 1
        for r in 0..<programs {
            if instruction.code == .loadScalar {
                if isIndex {
                    setIndex(instruction.d, r, Self.loadIndex(addresses[r], access.elementBytes))
                    continue
                }
                let load = unsafeBitCast(instruction.function, to: cv_load.self)
                load(frame + Int(instruction.d.offset) + r * 4, addresses[r], 1, 1)
            } else if isIndex {
                Self.storeIndex(index(instruction.a, r), addresses[r], access.elementBytes)
            } else {
                let store = unsafeBitCast(instruction.function, to: cv_store.self)
                store(addresses[r], 1, frame + Int(instruction.a.offset) + r * 4, 1)
            }
        }
    }

    private static func loadIndex(_ address: UnsafeMutableRawPointer, _ bytes: Int) -> Int {
        switch bytes {
        case 8: Int(address.load(as: Int64.self))
        case 4: Int(address.load(as: Int32.self))
        default: Int(address.load(as: UInt8.self))
        }
    }

    private static func storeIndex(_ value: Int, _ address: UnsafeMutableRawPointer, _ bytes: Int) {
        switch bytes {
        case 8: address.storeBytes(of: Int64(value), as: Int64.self)
        case 4: address.storeBytes(of: Int32(truncatingIfNeeded: value), as: Int32.self)
        default: address.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        }
    }

    // MARK: Reductions

    private func runReduction(_ instruction: Instruction) {
        let stateBytes = MemoryLayout<cv_state>.stride
        let states = frame + Int(instruction.code == .reduceEnd ? instruction.a.offset : instruction.d.offset)
        switch instruction.code {
        case .reduceBegin:
            for r in 0..<programs {
                cv_reduce_begin(
                    instruction.selector, (states + r * stateBytes).assumingMemoryBound(to: cv_state.self))
            }
        case .reduce:
            let fold = unsafeBitCast(instruction.function, to: cv_reduction.self)
            let a = pointer(instruction.a)
            for r in 0..<programs { fold(states + r * stateBytes, a + r * lanes * 4, Int64(lanes)) }
        case .sumProduct:
            let (a, b) = (pointer(instruction.a), pointer(instruction.b))
            for r in 0..<programs {
                cv_sum_product(
                    states + r * stateBytes, a + r * lanes * 4, b + r * lanes * 4, Int64(lanes))
            }
        default:
            // variant counts the state's fields: value, second, index.
            let d = frame + Int(instruction.d.offset)
            for r in 0..<programs {
                let field = (states + r * stateBytes).load(
                    fromByteOffset: Int(instruction.variant) * 4, as: UInt32.self)
                d.storeBytes(of: field, toByteOffset: r * 4, as: UInt32.self)
            }
        }
    }

    // MARK: Positions

    private mutating func runIndex(_ instruction: Instruction) {
        for r in 0..<programs {
            switch instruction.code {
            case .programIndex: setIndex(instruction.d, r, (firstProgram + r) % rows)
            case .columnBlock: setIndex(instruction.d, r, (firstProgram + r) / rows)
            case .copyIndex: setIndex(instruction.d, r, index(instruction.a, r))
            case .convertIndex: convertIndex(instruction, r)
            case .compareIndex:
                let comparison = Comparison.allCases[Int(instruction.selector)]
                let holds = comparison.holds(index(instruction.a, r), index(instruction.b, r))
                (frame + Int(instruction.d.offset)).storeBytes(
                    of: holds ? UInt32.max : 0, toByteOffset: r * 4, as: UInt32.self)
            default: computeIndex(instruction, r)
            }
        }
    }

    private mutating func computeIndex(_ instruction: Instruction, _ r: Int) {
        let (a, b) = (index(instruction.a, r), index(instruction.b, r))
        if instruction.selector < 0 {
            let mask = (frame + Int(instruction.c.offset)).load(fromByteOffset: r * 4, as: UInt32.self)
            setIndex(instruction.d, r, mask != 0 ? a : b)
            return
        }
        let value: Int
        switch BinaryOperation.allCases[Int(instruction.selector)] {
        case .add: value = a &+ b
        case .subtract: value = a &- b
        case .multiply: value = a &* b
        case .maximum: value = max(a, b)
        case .minimum: value = min(a, b)
        case .divide where b > 0: value = a / b
        case .remainder where b > 0: value = a % b
        default:
            fail(.division(by: b), program: r)
            return
        }
        setIndex(instruction.d, r, value)
    }

    private func convertIndex(_ instruction: Instruction, _ r: Int) {
        let (a, d) = (frame + Int(instruction.a.offset), frame + Int(instruction.d.offset))
        if instruction.selector == 0 {
            let value = a.load(fromByteOffset: r * 8, as: Int.self)
            let bits =
                instruction.variant == 3
                ? Float(value).bitPattern : UInt32(truncatingIfNeeded: value)
            d.storeBytes(of: bits, toByteOffset: r * 4, as: UInt32.self)
            return
        }
        let bits = a.load(fromByteOffset: r * 4, as: UInt32.self)
        let value: Int =
            switch instruction.selector {
            case 1: Int(Int32(bitPattern: bits))
            case 2: Int(bits)
            default: Int(exactly: Float(bitPattern: bits).rounded(.towardZero)) ?? 0
            }
        d.storeBytes(of: value, toByteOffset: r * 8, as: Int.self)
    }

    private mutating func runCheck(_ instruction: Instruction) {
        for r in 0..<programs {
            let mask = (frame + Int(instruction.a.offset)).load(fromByteOffset: r * 4, as: UInt32.self)
            if mask == 0 {
                fail(.check(message: instruction.number, value: index(instruction.b, r)), program: r)
                return
            }
        }
    }

    mutating func fail(_ reason: LaunchFailure.Reason, program: Int) {
        failure = LaunchFailure(program: (firstProgram + program) % rows, reason: reason)
    }
}

extension Comparison {
    func holds(_ a: Int, _ b: Int) -> Bool {
        switch self {
        case .equal: a == b
        case .notEqual: a != b
        case .less: a < b
        case .lessOrEqual: a <= b
        case .greater: a > b
        case .greaterOrEqual: a >= b
        }
    }
}
