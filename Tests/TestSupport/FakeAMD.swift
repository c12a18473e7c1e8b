package import FakeHIP
package import LigerRuntime
import Synchronization
package import Tile
import TileEmulator
import TileGPU
import TileLLVM

/// The fake HIP's settings and observations; those that it shares with the fake CUDA driver are in `fake`.
package var fakeHIP: UnsafeMutablePointer<FakeHIPState> { fake_hip_state() }

/// A fresh AMD GPU on a fresh fake runtime. Suites that use one are `.onFakeGPU`.
///
/// - Parameters:
///   - cache: of code objects; by default none is kept.
///   - manager: compiles; by default one that makes the text the code object.
package func makeFakeAMD(
    strict: Bool = false, memory: Int = 1 << 30, architecture: StaticString = "gfx942:sramecc+:xnack-",
    waveThreads: Int32 = 64, cache: CodeCache = CodeCache(folder: nil),
    manager: (@Sendable () throws -> CodeObjectManager)? = nil
) throws -> Device {
    fake_hip_reset()
    fake.pointee.memory_limit = memory
    fakeHIP.pointee.architecture = UnsafeRawPointer(architecture.utf8Start).assumingMemoryBound(
        to: CChar.self)
    fakeHIP.pointee.wave_threads = waveThreads
    let driver = try HIPDriver(file: "fake") { fake_hip_symbol($0) }
    let library = try HIPBLASLt(path: "fake") { fake_hip_symbol($0) }
    return Device(
        HIPBackend(
            try HIPDevice(driver: driver, ordinal: 0, isStrict: strict), library: library, cache: cache,
            manager: manager ?? { try CodeObjectManager(path: "fake") { fake_hip_symbol($0) } }))
}

/// Has launches on the fake AMD GPU done: each from its packed parameters alone, as a GPU would, by the processor's
/// executor or by the emulator of threads. Captured launches are done when their graph is launched.
///
/// Suites that use one are `.onFakeGPU`.
package final class PerformedLaunches: LaunchObserver {
    /// What does them.
    package enum Executor: Sendable {
        case processor
        /// With the threads that are planned for an architecture, waves of its size included.
        case emulator(StaticString)
        /// What is printed for an architecture, compiled for this machine.
        case printed(StaticString)
    }

    /// Whether this machine has a compiler for what is printed.
    package static var compilesPrinted: Bool { PrintedKernel.isThere }

    fileprivate struct State {
        var kernels: [UInt: (kernel: any TileKernel, function: TileFunction)] = [:]
        var current: (any TileKernel)?
        var failure: (any Error)?
    }

    private let executor: Executor
    private let state = Mutex(State())
    private static let installed = Mutex<PerformedLaunches?>(nil)

    private init(_ executor: Executor) { self.executor = executor }

    /// Runs `body`, whose launches are done.
    ///
    /// - Throws: what `body` throws, or what the executor met.
    package static func with<R>(_ executor: Executor, _ body: () throws -> R) throws -> R {
        let launches = PerformedLaunches(executor)
        installed.withLock { $0 = launches }
        fake.pointee.performs = { function, _, parameters, bytes in
            guard let function, let parameters else { return }
            PerformedLaunches.installed.withLock { $0 }?
                .perform(UInt(bitPattern: function), UnsafeRawBufferPointer(start: parameters, count: bytes))
        }
        defer {
            fake.pointee.performs = nil
            installed.withLock { $0 = nil }
        }
        let result = try LaunchObservation.with(launches, body)
        if let failure = launches.state.withLock({ $0.failure }) { throw failure }
        return result
    }

    package func observe(
        _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
        run: () throws -> Void
    ) throws {
        state.withLock { $0.current = kernel }
        defer { state.withLock { $0.current = nil } }
        try run()
    }

    private func perform(_ function: UInt, _ parameters: UnsafeRawBufferPointer) {
        do {
            let known = try state.withLock { state in
                if let known = state.kernels[function] { return known }
                guard let current = state.current else {
                    throw RuntimeError("a function was launched that no kernel belongs to")
                }
                let found = (kernel: current, function: try TileFunction.trace(current))
                state.kernels[function] = found
                return found
            }
            try perform(known.kernel, known.function, parameters)
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
        }
    }

    private func perform(
        _ kernel: some TileKernel, _ function: TileFunction, _ parameters: UnsafeRawBufferPointer
    ) throws {
        let layout = ParameterLayout(views: function.views, scalars: function.scalars)
        precondition(parameters.count == layout.byteCount, "a launch hands over all parameters")
        let views = zip(function.views, layout.views).map { parameter, start in
            parameters.view(parameter, at: start)
        }
        let scalars = zip(function.scalars, layout.scalars).map { parameters.scalar($0.element, at: $1) }
        let programs = Int(parameters.number(at: layout.programs))
        switch executor {
        case .processor:
            let loaded = try Device.cpu.backend.kernel(kernel, for: views)
            try loaded.launch(programs: programs, views, scalars)
        case .printed(let architecture):
            let (target, threads) = try planned(function, views, architecture)
            try PrintedKernel.run(threads, target, programs: programs, parameters)
        case .emulator(let architecture):
            let (_, threads) = try planned(function, views, architecture)
            let failure = try Emulator.run(
                threads, programs: programs,
                arrays: views.map {
                    EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
                }, scalars: scalars.map(\.constant))
            guard let failure else { return }
            // As the kernel itself would.
            let record = UnsafeMutablePointer<Int64>(bitPattern: Int(parameters.number(at: layout.failure)))
            record?[0] = Int64(failure.message + 1)
            record?[1] = Int64(failure.program)
            record?[2] = Int64(failure.value)
        }
    }
}

/// A kernel's threads for an architecture.
private func planned(
    _ function: TileFunction, _ views: [MemoryView], _ architecture: StaticString
) throws -> (AMDTarget, ThreadFunction) {
    guard let target = AMDTarget("\(architecture)") else {
        throw RuntimeError("\(architecture) is no architecture")
    }
    return (target, try ThreadFunction(target.plan(function, layouts: views.gpuLayouts)))
}

extension UnsafeRawBufferPointer {
    fileprivate func number(at offset: Int) -> Int64 { loadUnaligned(fromByteOffset: offset, as: Int64.self) }

    /// The address, then sizes and strides.
    fileprivate func view(_ parameter: ViewParameter, at start: Int) -> MemoryView {
        let sizes = (0..<parameter.rank).map { Int(number(at: start + 8 * (1 + $0))) }
        let strides = (0..<parameter.rank).map { Int(number(at: start + 8 * (1 + parameter.rank + $0))) }
        guard let address = UnsafeMutableRawPointer(bitPattern: Int(number(at: start))) else {
            preconditionFailure("\(parameter.name) has an address")
        }
        return MemoryView(address: address, shape: sizes, strides: strides, dtype: parameter.dtype)
    }

    fileprivate func scalar(_ type: ElementKind, at offset: Int) -> LaunchScalar {
        switch type {
        case .f32: .float(loadUnaligned(fromByteOffset: offset, as: Float.self))
        case .i32: .int32(loadUnaligned(fromByteOffset: offset, as: Int32.self))
        case .u32: .uint32(loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        default: .index(Int(number(at: offset)))
        }
    }
}
