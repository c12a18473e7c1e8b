import Foundation
import LigerCatalogue
import LigerKernels
import LigerLosses
import LigerRuntime
import Synchronization
import Testing
import Tile
import TileGPU
import TileLLVM

@Suite struct LLVMTests {
    /// Every kernel at a length that fills vectors, at two that do not and at one that is read in several passes; with
    /// logits as a GPU stores them. Products within kernels are NVIDIA's.
    private static let sizes = [(4096, DType.bf16), (33, .f32), (20_001, .f16), (262_144, .bf16)]

    private func functions(
        _ entry: CatalogueEntry, sizes: [(Int, DType)] = Self.sizes
    ) throws -> [TileFunction] {
        var seen: Set<String> = []
        var found: [TileFunction] = []
        for (columns, dtype) in sizes {
            let kernels = try LaunchRecorder.kernels {
                try LogitStorage.$isAsOnGPU.withValue(true) {
                    _ = try entry.check(CheckCase(rows: 2, columns: columns, dtype: dtype, seed: 1))
                }
            }
            for kernel in kernels where seen.insert("\(kernel)").inserted {
                found.append(try TileFunction.trace(kernel))
            }
        }
        return found.filter(\.products.isEmpty)
    }

    private func threads(_ function: TileFunction, _ target: AMDTarget) throws -> ThreadFunction {
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        }
        return try ThreadFunction(target.plan(function, layouts: layouts))
    }

    /// What has been built, or is being built, for an operation that shares the kernel.
    private static let built = Mutex<Set<String>>([])

    private static func isNew(
        _ program: ThreadFunction, _ target: AMDTarget, for compiler: String = "clang"
    ) throws -> Bool {
        let text = try LLVMModule([program], target: target).text
        return built.withLock { $0.insert("\(compiler) \(target) \(text)").inserted }
    }

    /// Nothing is spilled, and the code object takes what the plan says.
    @Test(
        .enabled(
            if: Assembler.isThere || Assembler.isRequired, "not checked: no clang-22, lld-22 and llvm-22"),
        arguments: Catalogue.entries.map(\.name))
    func builds(operation: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "liger-llvm-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let functions = try functions(#require(Catalogue.entry(operation)))
        if functions.isEmpty { return }
        for target in AMDTarget.all {
            let programs = try functions.map { try threads($0, target) }.filter { try Self.isNew($0, target) }
            if programs.isEmpty { continue }
            let module = try LLVMModule(programs, target: target)
            let built = try Assembler.build(module, target, in: folder)
            #expect(Set(built.map(\.kernel)) == Set(module.entries))
            for needs in built {
                let number = try #require(module.entries.firstIndex(of: needs.kernel))
                check(needs, programs[number], target)
            }
        }
    }

    private static let comgr = Result { try CodeObjectManager.load() }

    /// Debian's libamd-comgr2 has LLVM 15, the oldest compiler that the text is for, which compiles in memory as the back
    /// end has it do. It knows one of the architectures.
    @Test(
        .enabled(
            if: (try? comgr.get()) != nil || Assembler.isRequired, "not checked: no libamd-comgr2"),
        arguments: Catalogue.entries.map(\.name))
    func compilesInMemory(operation: String) throws {
        let target = try #require(AMDTarget("gfx90a")), manager = try Self.comgr.get()
        let functions = try functions(#require(Catalogue.entry(operation)), sizes: [(4096, .bf16)])
        let programs = try functions.map { try threads($0, target) }
            .filter { try Self.isNew($0, target, for: "comgr") }
        if programs.isEmpty { return }
        let module = try LLVMModule(programs, target: target)
        let object = try manager.compile(module.text, for: "\(target)")
        #expect(object.starts(with: [0x7F] + Array("ELF".utf8)))
    }

    @Test(.enabled(if: (try? comgr.get()) != nil || Assembler.isRequired, "not checked: no libamd-comgr2"))
    func showsTheCompilersLog() throws {
        let manager = try Self.comgr.get()
        let error = #expect(throws: RuntimeError.self) {
            try manager.compile("define void @f() { ret i32 }", for: "gfx90a")
        }
        #expect(error?.description.contains("compiling a kernel for gfx90a failed: comgr 2.") == true)
        #expect(error?.description.contains("error:") == true, "\(String(describing: error))")
    }

    private func check(_ needs: Assembler.Needs, _ program: ThreadFunction, _ target: AMDTarget) {
        let what = "\(needs.kernel) for \(target): \(needs)"
        let parameters = ParameterLayout(views: program.views, scalars: program.scalars)
        #expect(needs.spilled == 0, "\(what)")
        // Local memory starts behind 16 bytes.
        let ownBytes = program.localBytes == 0 ? 0 : ((program.localBytes + 15) & ~15) + 16
        #expect(needs.localBytes >= 0 && needs.localBytes <= ownBytes, "\(what)")
        #expect(needs.sharedBytes <= target.limits.sharedBytes, "\(what)")
        #expect(needs.waveThreads == target.limits.warpThreads, "\(what)")
        // A kernel that asks for more has arguments that no launch of ours gives.
        #expect(needs.parameterBytes == parameters.byteCount, "\(what)")
    }

    private struct Cluster: TileKernel {
        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1), c = p.range(1024)
            y[p.index] = sum(x[p.index, c])
        }
    }

    /// What was planned for a GPU with clusters has steps that these lack.
    @Test func refusesClusters() throws {
        let function = try TileFunction.trace(Cluster())
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        }
        let planned = try ThreadFunction(
            function, layouts: layouts,
            schedule: GPUSchedule(threads: 256, blocks: 2, programsPerBlock: 1, vector: 4))
        let error = #expect(throws: LoweringError.self) {
            _ = try LLVMModule([planned], target: AMDTarget.all[0])
        }
        #expect(error?.description.contains("clusters") == true)
    }

    /// Kernels of one name in a module are told apart.
    @Test func namesKernelsOfAModule() throws {
        let target = try #require(AMDTarget("gfx942"))
        let program = try threads(TileFunction.trace(Cluster()), target)
        let module = try LLVMModule([program, program], target: target)
        #expect(module.entries == ["Cluster", "Cluster.1"])
        #expect(AMDTarget("gfx906") == nil)
    }
}
