import Synchronization
public import Tile
import TileCPU
import TileGPU

/// A number bound to a kernel's scalar parameter.
public enum LaunchScalar: Sendable {
    case float(Float)
    case int32(Int32)
    case uint32(UInt32)
    case index(Int)

    var constant: Constant {
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
        let device = try Device.checkCommon(arrays, "kernel \(name)") ?? .cpu
        let compiled = try KernelCache.shared.kernel(self, arrays, device)
        try compiled.check(arrays, scalars)
        if let recording = device.recording {
            return recording.append(
                .launch(compiled, programs: programs, arrays.map { RecordedArray($0) }, scalars))
        }
        switch compiled.program {
        case .cpu(let plan): try plan.run(programs: programs, arrays, scalars)
        case .cuda(let kernel): try kernel.launch(programs: programs, arrays, scalars)
        }
        compiled.counter.increment()
    }
}

extension Plan {
    func run(programs: Int, _ arrays: [NDArray], _ scalars: [LaunchScalar]) throws {
        let bound = arrays.map {
            CPUArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
        }
        try run(programs: programs, bound: bound, scalars)
    }

    func run(programs: Int, bound: [CPUArray], _ scalars: [LaunchScalar]) throws {
        let elements = bound.reduce(0) { $0 + $1.shape.reduce(1, *) }
        let isSmall = elements < 16_384
        try run(
            programs: programs, arrays: bound, scalars: scalars.map(\.constant),
            tasks: isSmall ? 1 : 4 * ThreadPool.shared.threadCount
        ) { count, body in
            ThreadPool.shared.forEach(count, body)
        }
    }
}

/// How often each kernel was launched: what proves that a kernel was used.
public final class LaunchCounters: Sendable {
    /// Those of this process.
    public static let shared = LaunchCounters()

    /// One kernel's.
    final class Counter: Sendable {
        private let launches = Atomic<Int>(0)

        func increment() { launches.wrappingAdd(1, ordering: .relaxed) }
        var value: Int { launches.load(ordering: .relaxed) }
    }

    private let counters = Mutex<[String: Counter]>([:])
    private let specialisations = Mutex<[String: Int]>([:])

    /// Launches by kernel name.
    public var all: [String: Int] {
        counters.withLock { $0.mapValues { $0.value }.filter { $0.value > 0 } }
    }

    /// Compilations by kernel name: one for each kernel value and memory layout met.
    package var compiled: [String: Int] { specialisations.withLock { $0 } }

    func counter(_ name: String) -> Counter {
        counters.withLock { counters in
            if let known = counters[name] { return known }
            let counter = Counter()
            counters[name] = counter
            return counter
        }
    }

    func countCompilation(_ name: String) { specialisations.withLock { $0[name, default: 0] += 1 } }
}

/// A kernel compiled for a device.
struct CompiledKernel: Sendable {
    enum Program: Sendable {
        case cpu(Plan)
        case cuda(CUDAKernel)
    }

    let name: String
    let counter: LaunchCounters.Counter
    let views: [ViewParameter]
    let scalars: [ScalarParameter]
    let program: Program

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

/// Compiled kernels of this process, by kernel value, memory layout and device.
private final class KernelCache: Sendable {
    static let shared = KernelCache()

    private struct Key: Hashable, @unchecked Sendable {
        // Kernels are Sendable and Hashable by their protocol; AnyHashable only forgets the former.
        let kernel: AnyHashable
        let target: Target
    }

    private enum Target: Hashable {
        case cpu([ViewLayout])
        /// The context, which the kernel compiled in it keeps alive.
        case cuda(ObjectIdentifier, [GPULayout])
    }

    private let known = Mutex<[Key: CompiledKernel]>([:])

    func kernel(
        _ kernel: some TileKernel, _ arrays: [NDArray], _ device: Device
    ) throws -> CompiledKernel {
        let target =
            try device.cuda.map { Target.cuda(ObjectIdentifier(try $0.context()), arrays.map(\.gpuLayout)) }
            ?? Target.cpu(arrays.map(\.layout))
        let key = Key(kernel: AnyHashable(kernel), target: target)
        if let compiled = known.withLock({ $0[key] }) { return compiled }
        let function = try TileFunction.trace(kernel)
        let compiled = CompiledKernel(
            name: kernel.name, counter: LaunchCounters.shared.counter(kernel.name), views: function.views,
            scalars: function.scalars,
            program: try Self.compile(function, target, device))
        known.withLock { $0[key] = compiled }
        LaunchCounters.shared.countCompilation(compiled.name)
        return compiled
    }

    /// Where fewer arrays were given than the kernel declares, layouts are made up, so that the check that
    /// follows can name every misfit.
    private static func compile(
        _ function: TileFunction, _ target: Target, _ device: Device
    ) throws -> CompiledKernel.Program {
        let count = function.views.count
        switch target {
        case .cpu(let layouts):
            let unknown = ViewLayout(hasUnitStride: false, outgrowsCache: false)
            return .cpu(Plan(function, layouts: padded(layouts, count, unknown)))
        case .cuda(_, let layouts):
            guard let cuda = device.cuda else { preconditionFailure("a target of another device") }
            let unknown = GPULayout(hasUnitStride: false, isAligned: false, hasWholeVectors: false)
            return .cuda(
                try CUDAKernel.compiling(function, layouts: padded(layouts, count, unknown), on: cuda))
        }
    }

    private static func padded<Layout>(_ layouts: [Layout], _ count: Int, _ last: Layout) -> [Layout] {
        layouts + Array(repeating: last, count: max(0, count - layouts.count))
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
        let span = elementSpan
        return (span.lowerBound * dtype.byteCount)..<(span.upperBound * dtype.byteCount)
    }

    /// The elements of the buffer from the lowest to the highest that is the array's.
    var elementSpan: Range<Int> {
        if count == 0 { return offset..<offset }
        var (low, high) = (offset, offset + 1)
        for (size, stride) in zip(shape, strides) {
            if stride < 0 { low += (size - 1) * stride } else { high += (size - 1) * stride }
        }
        return low..<high
    }
}
