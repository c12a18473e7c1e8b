package import FakeCUDA
package import LigerRuntime
import Synchronization
package import Testing

/// The fake driver's settings and observations: one for the process, so suites that use it are `.onFakeGPU`.
package var fake: UnsafeMutablePointer<FakeCUDAState> { fake_cuda_state() }

/// A fresh GPU on a fresh fake driver, with a fake cuDNN if asked for.
package func makeFakeDevice(
    strict: Bool = false, memory: Int = 1 << 30, cudnn: Bool = false, driverVersion: Int32 = 13_000,
    capability: Int32 = 90
) throws -> Device {
    fake_cuda_reset()
    fake.pointee.driver_version = driverVersion
    fake.pointee.memory_limit = memory
    fake.pointee.compute_capability = capability
    let driver = try CUDADriver(file: "fake") { fake_cuda_symbol($0) }
    let library = try CUBLASLt(path: "fake") { fake_cuda_symbol($0) }
    let graphs = cudnn ? CUDNN.Source.given(try CUDNN(path: "fake") { fake_cuda_symbol($0) }) : .none
    return Device(
        cuda: try CUDADevice(driver: driver, ordinal: 0, isStrict: strict), library: library, cudnn: graphs)
}

extension Device {
    /// The GPU's context.
    package func context() throws -> CUDAContext { try cuda("the test").context() }
}

/// Tests on the fake driver take turns, whichever suites and targets they lie in.
package struct OnFakeGPU: SuiteTrait, TestTrait, TestScoping {
    private static let turns = Turns()

    package var isRecursive: Bool { true }

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing body: @Sendable () async throws -> Void
    ) async throws {
        await Self.turns.take()
        defer { Self.turns.pass() }
        try await body()
    }
}

extension Trait where Self == OnFakeGPU {
    package static var onFakeGPU: Self { OnFakeGPU() }
}

/// A lock that is waited for without keeping a thread, and goes to who has waited longest.
private final class Turns: Sendable {
    private struct State {
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func take() async {
        await withCheckedContinuation { continuation in
            let isMine = state.withLock { state in
                if state.isTaken {
                    state.waiting.append(continuation)
                    return false
                }
                state.isTaken = true
                return true
            }
            if isMine { continuation.resume() }
        }
    }

    func pass() {
        let next = state.withLock { state in
            if state.waiting.isEmpty {
                state.isTaken = false
                return nil as CheckedContinuation<Void, Never>?
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
