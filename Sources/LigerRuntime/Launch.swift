import Synchronization
public import Tile
import TileCPU

/// A number bound to a kernel's scalar parameter.
public enum LaunchScalar: Sendable {
    case float(Float)
    case int32(Int32)
    case uint32(UInt32)
    case index(Int)

    fileprivate var constant: Constant {
        switch self {
        case .float(let value): .float(value)
        case .int32(let value): .i32(value)
        case .uint32(let value): .u32(value)
        case .index(let value): .index(value)
        }
    }
}

extension TileKernel {
    /// Runs programs 0 ..< programs of the kernel on the device of its arrays.
    ///
    /// - Parameters:
    ///   - arrays: one per declared view, in that order. Written arrays may not overlap any other.
    ///   - scalars: one per declared scalar, in that order.
    /// - Throws: `TileError` if the kernel does not compile; `RuntimeError` if arguments do not fit its
    ///   declaration; `LaunchError` if a program fails a check or leaves an array.
    /// - Cost: compiled once per kernel value; then a dictionary look-up beside the work.
    public func launch(
        programs: Int, _ arrays: [NDArray], scalars: [LaunchScalar] = []
    ) throws {
        if programs == 0 { return }
        guard let observer = LaunchObservation.current else {
            return try run(programs, arrays, scalars)
        }
        try observer.observe(
            self, programs: programs, arrays: arrays, scalars: scalars.map(\.constant)
        ) { try run(programs, arrays, scalars) }
    }

    private func run(_ programs: Int, _ arrays: [NDArray], _ scalars: [LaunchScalar]) throws {
        let compiled = try KernelCache.shared.kernel(self, arrays)
        try compiled.check(arrays, scalars)
        let bound = arrays.map {
            CPUArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
        }
        let elements = arrays.reduce(0) { $0 + $1.count }
        let isSmall = elements < 16_384
        try compiled.plan.run(
            programs: programs, arrays: bound, scalars: scalars.map(\.constant),
            tasks: isSmall ? 1 : 4 * ThreadPool.shared.threadCount
        ) { count, body in
            ThreadPool.shared.forEach(count, body)
        }
        LaunchCounters.shared.count(compiled.name)
    }
}

/// How often each kernel was launched: what proves that a kernel was used.
public final class LaunchCounters: Sendable {
    /// Those of this process.
    public static let shared = LaunchCounters()

    private let counts = Mutex<[String: Int]>([:])
    private let specialisations = Mutex<[String: Int]>([:])

    /// Launches by kernel name.
    public var all: [String: Int] { counts.withLock { $0 } }

    /// Compilations by kernel name: one for each kernel value and memory layout met.
    package var compiled: [String: Int] { specialisations.withLock { $0 } }

    func count(_ name: String) { counts.withLock { $0[name, default: 0] += 1 } }
    func countCompilation(_ name: String) { specialisations.withLock { $0[name, default: 0] += 1 } }
}

/// A kernel compiled for the CPU.
private struct CompiledKernel: Sendable {
    let name: String
    let views: [ViewParameter]
    let scalars: [ScalarParameter]
    let plan: Plan

    /// Every misfit of the arguments, at once.
    func check(_ arrays: [NDArray], _ bound: [LaunchScalar]) throws {
        var problems: [String] = []
        if arrays.count != views.count {
            problems.append("expected \(views.count) arrays, found \(arrays.count)")
        }
        if bound.map(\.constant.element) != scalars.map(\.element) {
            let expected = scalars.map { "\($0.name): \($0.element.rawValue)" }
            problems.append("expected scalars (\(expected.joined(separator: ", ")))")
        }
        for (view, array) in zip(views, arrays) {
            if view.dtype != array.dtype || view.rank != array.shape.count {
                problems.append(
                    "\(view.name) must be \(view.dtype.rawValue) of rank \(view.rank), found "
                        + "\(array.dtype.rawValue) of shape \(array.shape)")
            }
        }
        for (i, view) in views.enumerated() where view.access != .input && i < arrays.count {
            for (j, other) in arrays.enumerated() where j != i && arrays[i].mayOverlap(other) {
                problems.append("\(view.name) is written and overlaps \(views[j].name)")
            }
        }
        if !problems.isEmpty {
            throw RuntimeError("kernel \(name): " + problems.joined(separator: "; ") + ". Check the call")
        }
    }
}

/// Compiled kernels of this process, by kernel value and memory layout.
private final class KernelCache: Sendable {
    static let shared = KernelCache()

    private struct Key: Hashable, @unchecked Sendable {
        // Kernels are Sendable and Hashable by their protocol; AnyHashable only forgets the former.
        let kernel: AnyHashable
        let layouts: [ViewLayout]
    }

    private let known = Mutex<[Key: CompiledKernel]>([:])

    func kernel(_ kernel: some TileKernel, _ arrays: [NDArray]) throws -> CompiledKernel {
        let key = Key(
            kernel: AnyHashable(kernel), layouts: arrays.map(\.layout))
        if let compiled = known.withLock({ $0[key] }) { return compiled }
        let function = try TileFunction.trace(kernel)
        var layouts = key.layouts
        while layouts.count < function.views.count {
            layouts.append(ViewLayout(hasUnitStride: false, outgrowsCache: false))
        }
        let compiled = CompiledKernel(
            name: kernel.name, views: function.views, scalars: function.scalars,
            plan: Plan(function, layouts: layouts))
        known.withLock { $0[key] = compiled }
        LaunchCounters.shared.countCompilation(compiled.name)
        return compiled
    }
}

extension NDArray {
    /// What a plan may rely on.
    fileprivate var layout: ViewLayout {
        ViewLayout(hasUnitStride: strides.last == 1, outgrowsCache: byteCount >= 16 << 20)
    }

    /// Whether the spans of both share memory; exact for contiguous arrays, cautious for others with
    /// interleaved elements in one buffer.
    func mayOverlap(_ other: NDArray) -> Bool {
        guard buffer === other.buffer, count > 0, other.count > 0 else { return false }
        if strides == other.strides, interleaves(with: other) { return false }
        let (mine, theirs) = (byteSpan, other.byteSpan)
        return mine.lowerBound < theirs.upperBound && theirs.lowerBound < mine.upperBound
    }

    /// Column slices of one array: same rows, columns apart.
    private func interleaves(with other: NDArray) -> Bool {
        guard strides.last == 1, dtype == other.dtype, let columns = shape.last,
            let otherColumns = other.shape.last, let pitch = strides.dropLast().min(), pitch > 0
        else { return false }
        let (start, otherStart) = (offset % pitch, other.offset % pitch)
        guard start + columns <= pitch, otherStart + otherColumns <= pitch else { return false }
        return start + columns <= otherStart || otherStart + otherColumns <= start
    }

    private var byteSpan: Range<Int> {
        var (low, high) = (offset, offset + 1)
        for (size, stride) in zip(shape, strides) {
            if stride < 0 { low += (size - 1) * stride } else { high += (size - 1) * stride }
        }
        return (low * dtype.byteCount)..<(high * dtype.byteCount)
    }
}
