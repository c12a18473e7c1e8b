import CVector
package import Tile

/// What stopped a program.
struct LaunchFailure {
    enum Reason {
        case outOfBounds(view: Int, dimension: Int, index: Int, size: Int)
        case division(by: Int)
        case check(message: Int, value: Int)
        /// Of two matrices whose lines are multiplied.
        case lengths(_ a: Int, _ lengthOfA: Int, _ b: Int, _ lengthOfB: Int)
    }
    let program: Int
    let reason: Reason
}

/// Runs a function once for every index below a count, possibly on several threads.
package typealias Parallel = (_ count: Int, _ body: @Sendable (Int) -> Void) -> Void

extension Plan {
    /// Runs programs 0 ..< programs, of each column block where the kernel has any.
    ///
    /// - Parameter parallel: runs the tasks the programs are cut into. Results do not depend on it.
    /// - Throws: `LaunchError` if a program fails a check or leaves an array; of several, the one of the
    ///   lowest number that was reached.
    package func run(
        programs most: Int, arrays: [MemoryView], scalars: [Constant], tasks: Int, parallel: Parallel
    ) throws {
        if let condition, arrays[condition].address.load(as: Float.self) == 0 { return }
        let below = limit.map { max(0, Int(arrays[$0].address.load(as: Int32.self))) }
        let rows = min(most, below ?? most)
        let bound = arrays.map { BoundView($0) }
        let programs = rows * (columnBlocks.map { $0.count(arrays[$0.view].shape) } ?? 1)
        let batches = (programs + batch - 1) / batch
        let taskCount = max(1, min(batches, tasks))
        let failures = Failures(count: taskCount)
        // Threads share the arrays, whose elements no two programs write, and their own failure slot.
        nonisolated(unsafe) let views = bound
        parallel(taskCount) { task in
            let range = (batches * task / taskCount)..<(batches * (task + 1) / taskCount)
            failures.slots[task] = runTask(
                range, rows: rows, programs: programs, views: views, scalars: scalars)
        }
        if let failure = failures.first { throw LaunchError(description: describe(failure)) }
    }

    private func runTask(
        _ range: Range<Int>, rows: Int, programs: Int, views: [BoundView], scalars: [Constant]
    ) -> LaunchFailure? {
        let frame = UnsafeMutableRawPointer.allocate(byteCount: max(frameBytes, 64), alignment: 64)
        defer { frame.deallocate() }
        fill(frame, views, scalars)
        return instructions.withUnsafeBufferPointer { instructions in
            accesses.withUnsafeBufferPointer { accesses in
                views.withUnsafeBufferPointer { views in
                    contractions.withUnsafeBufferPointer { contractions in
                        var interpreter = Interpreter(
                            instructions: instructions, accesses: accesses, views: views,
                            contractions: contractions, block: block, rows: rows, frame: frame)
                        for number in range {
                            let first = number * batch
                            interpreter.run(first: first, count: min(batch, programs - first))
                            if let failure = interpreter.failure { return failure }
                        }
                        cv_stream_end()
                        return nil
                    }
                }
            }
        }
    }

    private func fill(_ frame: UnsafeMutableRawPointer, _ views: [BoundView], _ scalars: [Constant]) {
        for preset in presets {
            let value =
                switch preset.source {
                case .constant(let constant): constant
                case .argument(let position): scalars[position]
                case .size(let view, let dimension): Constant.index(views[view].sizes[dimension])
                }
            for r in 0..<batch {
                switch value {
                case .index(let value):
                    frame.storeBytes(of: value, toByteOffset: preset.offset + r * 8, as: Int.self)
                default:
                    frame.storeBytes(of: value.bits, toByteOffset: preset.offset + r * 4, as: UInt32.self)
                }
            }
        }
    }

    private func describe(_ failure: LaunchFailure) -> String {
        let place = "kernel \(name), program \(failure.program): "
        switch failure.reason {
        case .outOfBounds(let view, let dimension, let index, let size):
            return place + "index \(index) of \(views[view].name) is outside dimension \(dimension), "
                + "whose size is \(size). Check the shapes and positions handed to the operation"
        case .division(let divisor):
            return place + "division of a position by \(divisor). Divisors of positions are positive"
        case .lengths(let a, let lengthOfA, let b, let lengthOfB):
            return place + "a product of \(views[a].name), whose lines have \(lengthOfA) elements, and "
                + "\(views[b].name), whose lines have \(lengthOfB). Check the shapes handed to the operation"
        case .check(let message, let value):
            return place + messages[message].replacing("{}", with: "\(value)")
        }
    }
}

extension BoundView {
    init(_ array: MemoryView) {
        var sizes = SIMD4<Int>(repeating: 1)
        var strides = SIMD4<Int>(repeating: 0)
        for (i, (size, stride)) in zip(array.shape, array.strides).enumerated() {
            (sizes[i], strides[i]) = (size, stride)
        }
        self.init(base: array.address, sizes: sizes, strides: strides)
    }
}

extension Constant {
    /// The lane's 32 bits.
    fileprivate var bits: UInt32 {
        switch self {
        case .f32(let bits): bits
        case .i32(let value): UInt32(bitPattern: value)
        case .u32(let value): value
        case .index(let value): UInt32(truncatingIfNeeded: value)
        case .mask(let value): value ? .max : 0
        }
    }
}

/// One slot per task; each task writes its own and they are read after all have ended, so no two threads
/// ever touch one slot at a time.
private final class Failures: @unchecked Sendable {
    let slots: UnsafeMutableBufferPointer<LaunchFailure?>

    init(count: Int) {
        slots = .allocate(capacity: count)
        slots.initialize(repeating: nil)
    }

    deinit {
        slots.deinitialize()
        slots.deallocate()
    }

    var first: LaunchFailure? { slots.lazy.compactMap { $0 }.first }
}
