import FakeCUDA
import FakeHIP
import Foundation
import LigerRuntime
import TestSupport
import Testing
import Tile
import TileLLVM

// Never freed: the fake keeps the pointer.
private nonisolated(unsafe) let compilerLog = UnsafeRawPointer(
    StaticString("line 3: unknown instruction").utf8Start
).assumingMemoryBound(to: CChar.self)

/// From IR to a loaded function, and what of it is kept.
@Suite(.onFakeGPU) struct CompilerTests {
    /// Both numberings of actions; others are not guessed.
    @Test(arguments: [2, 3, 4, 1]) func knowsReleasesOfComgr(major: Int) throws {
        let device = try makeFakeAMD()
        fakeHIP.pointee.comgr_major = major
        if major == 2 || major == 3 {
            #expect(try SmallLaunch.performed(on: device) == [2, 4, 6, 8, 10, 12, 14, 16])
            #expect(fakeHIP.pointee.compilations == 1)
        } else {
            let text = message { _ = try SmallLaunch.run(on: device) }
            #expect(text.contains("version \(major).4 of the code object manager; 2 or 3 is needed"))
        }
    }

    @Test func failuresShowTheCompilersLog() throws {
        let device = try makeFakeAMD()
        fakeHIP.pointee.compile_log = compilerLog
        let text = message { _ = try SmallLaunch.run(on: device) }
        #expect(text.contains("compiling a kernel for gfx942 failed: comgr 2.4, status 1, ERROR"))
        #expect(text.contains("line 3: unknown instruction"))
    }

    @Test func absentLibrariesSayWhatToInstall() {
        let text = message {
            _ = try LibrarySearch.load(
                ["/nowhere/libamd_comgr.so.3"], CodeObjectManager.init, missing: { RuntimeError("\($0)") })
        }
        #expect(text.contains("/nowhere/libamd_comgr.so.3"))
        #expect(
            HIPBLASLt.missing(["x"]).description.contains(
                "matrix products on an AMD GPU need hipBLASLt, which was not found"))
    }

    /// A kernel is compiled once for a folder, and again where its file is damaged, cut off or another's.
    @Test func keepsCodeOnDisk() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "hip-\(UUID().uuidString)").path()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func compilations(_ architecture: StaticString = "gfx942", waves: Int32 = 64) throws -> Int32 {
            let device = try makeFakeAMD(
                architecture: architecture, waveThreads: waves, cache: CodeCache(folder: folder))
            #expect(try SmallLaunch.performed(on: device).first == 2)
            return fakeHIP.pointee.compilations
        }
        #expect(try compilations() == 1)
        #expect(try compilations() == 0)
        let file = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
        #expect(try compilations("gfx1100", waves: 32) == 1)
        #expect(try compilations() == 0)
        let files = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(files.count == 2 && files.allSatisfy { $0.hasSuffix(".hsaco") }, "\(files)")
        for damage in [
            { $0[$0.count - 5] ^= 1 }, { $0.removeLast(7) }, { $0 = [] }, { $0[3] ^= 1 }, { $0[20] ^= 1 },
            { $0[40] ^= 1 }, { $0.append(0) },
        ] as [(inout [UInt8]) -> Void] {
            let url = URL(filePath: folder + "/" + file)
            var bytes = [UInt8](try Data(contentsOf: url))
            damage(&bytes)
            try Data(bytes).write(to: url)
            #expect(try compilations() == 1)
            #expect(try compilations() == 0)
        }
    }

    /// Debian's comgr, whose code objects the fake runtime takes apart as far as it must.
    @Test(.enabled(if: (try? CodeObjectManager.load()) != nil, "not checked: no libamd-comgr2"))
    func loadsWhatComgrMakes() throws {
        let device = try makeFakeAMD(architecture: "gfx90a", manager: { try CodeObjectManager.load() })
        #expect(try SmallLaunch.performed(on: device) == [2, 4, 6, 8, 10, 12, 14, 16])
        #expect(fakeHIP.pointee.compilations == 0 && fake.pointee.modules_loaded == 1)
        let compilation = try #require(device.compilations.first)
        #expect(compilation.kernel.contains("Doubled") && compilation.spilledBytes == 0)
    }

    @Test func cachesSomewhereOrNowhere() {
        #expect(CodeCache(["HOME": "/h"]).folder == "/h/.cache/liger/hip")
        #expect(CodeCache(["HOME": "/h", "XDG_CACHE_HOME": "/c"]).folder == "/c/liger/hip")
        #expect(CodeCache(["HOME": "/h", "LIGER_CACHE": "/l"]).folder == "/l/hip")
        #expect(CodeCache(["HOME": "/h", "LIGER_CACHE": "off"]).folder == nil)
        #expect(CodeCache([:]).folder == nil)
        // A folder that cannot be made is no failure.
        let cache = CodeCache(folder: "/proc/nowhere")
        let key = CodeCache.Key(text: "t", architecture: "a", compiler: "c", options: [])
        cache.keep([1], for: key)
        #expect(cache.code(key) == nil)
    }
}

extension SmallLaunch {
    static func performed(on device: Device) throws -> [Float] {
        try PerformedLaunches.with(.processor) { try run(on: device) }
    }
}
