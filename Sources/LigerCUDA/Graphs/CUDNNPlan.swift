import CCUDA
import LigerArrays

/// A graph as cuDNN runs it on one kind of GPU, by an engine that it chose.
///
/// Owner: the context's ``CUDNNPlans``, for the life of the process. Any thread may run it, one at a time.
package final class CUDNNPlan: Sendable {
    /// Bytes that each run needs for itself.
    package let workspaceBytes: Int
    private let plan: CUDNNDescriptor
    /// What the plan was made of.
    private let parts: [CUDNNDescriptor]
    private let identifiers: [String: Int]
    private let constants: Constants
    private let library: CUDNN

    /// Numbers that the library reads from the host's memory whenever a plan runs.
    private final class Constants: Sendable {
        let identifiers: [Int]
        // Set once; only read afterwards.
        nonisolated(unsafe) let values: UnsafeMutableBufferPointer<Float>

        init(_ constants: [(identifier: Int, value: Float)]) {
            identifiers = constants.map(\.identifier)
            values = .allocate(capacity: constants.count)
            _ = values.initialize(from: constants.map(\.value))
        }

        deinit { values.deallocate() }

        var addresses: [UnsafeMutableRawPointer?] {
            values.indices.map { values.baseAddress.map(UnsafeMutableRawPointer.init)?.advanced(by: 4 * $0) }
        }
    }

    /// Has the library choose an engine, by its own ranking: the first that takes the graph. Nothing is timed,
    /// so that the same library chooses the same engine each time.
    ///
    /// - Throws: `RuntimeError` if no engine takes it.
    init(_ graph: CUDNNGraph, _ purpose: String, handle: cudnnHandle_t?) throws {
        library = graph.library
        identifiers = graph.identifiers
        constants = Constants(graph.constants)
        let whole = try CUDNNDescriptor(
            CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
            [
                (CUDNN_ATTR_OPERATIONGRAPH_OPS, .descriptors(graph.operations)),
                (CUDNN_ATTR_OPERATIONGRAPH_HANDLE, .handle(handle)),
            ], library, "having cuDNN take \(purpose)")
        let choosing = "choosing an engine for \(purpose)"
        let ranking = try CUDNNDescriptor(
            CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
            [
                (CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, .descriptors([whole])),
                (CUDNN_ATTR_ENGINEHEUR_MODE, .choice(CUDNN_HEUR_MODE_A, type: CUDNN_TYPE_HEUR_MODE)),
            ], library, choosing)
        let engines = try ranking.descriptors(
            CUDNN_ATTR_ENGINEHEUR_RESULTS, kind: CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, count: 16, choosing)
        var (made, refusal): (CUDNNDescriptor?, (any Error)?)
        for engine in engines where made == nil {
            do {
                made = try CUDNNDescriptor(
                    CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
                    [(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, .descriptors([engine]))], library,
                    "planning \(purpose)")
            } catch {
                refusal = error
            }
        }
        guard let made else {
            throw refusal
                ?? RuntimeError("cuDNN \(library.versionText) has no engine for \(purpose)", kind: .library)
        }
        plan = made
        parts = graph.descriptors + engines + [whole, ranking]
        workspaceBytes = try made.number(
            CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "asking for the workspace of \(purpose)")
    }

    /// Hands the work to the handle's stream.
    ///
    /// - Parameter addresses: of every operand, by name.
    func run(
        _ addresses: [String: UnsafeMutableRawPointer], workspace: UnsafeMutableRawPointer?,
        handle: cudnnHandle_t?
    ) throws {
        precondition(Set(addresses.keys) == Set(identifiers.keys), "an address for every operand")
        let names = identifiers.keys.sorted()
        let pack = try CUDNNDescriptor(
            CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
            [
                (
                    CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                    .numbers(names.compactMap { identifiers[$0] } + constants.identifiers)
                ),
                (
                    CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                    .addresses(names.map { addresses[$0] } + constants.addresses)
                ),
                (CUDNN_ATTR_VARIANT_PACK_WORKSPACE, .addresses([workspace])),
            ], library, "giving cuDNN its operands")
        try library.check(plan.execute(pack, handle), "running cuDNN")
    }
}
