// swift-tools-version: 6.2
import PackageDescription

/// The layers of the package, lowest first: a target may import only what stands above it here.
/// `Documentation/Architecture.md` says what lives where.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "swift-liger",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "liger", targets: ["liger"]),
        .library(name: "Tile", targets: ["Tile", "TileCPU"]),
        .library(name: "LigerKernels", targets: ["LigerRuntime", "LigerKernels", "LigerLosses"]),
        .library(name: "LigerTrainer", targets: ["LigerTrainer"]),
        .library(name: "liger-abi", type: .dynamic, targets: ["LigerABI", "CGlibc"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // The C library and Foundation, whichever system has them where.
        .target(name: "Platform"),

        // The tile language and its compiler.
        .target(name: "Tile"),
        .target(name: "CVector"),
        .target(name: "TileCPU", dependencies: ["Tile", "CVector"]),
        .target(name: "TileGPU", dependencies: ["Tile"]),
        .target(name: "TilePTX", dependencies: ["Tile", "TileGPU"]),
        .target(name: "TileLLVM", dependencies: ["Tile", "TileGPU"]),
        .target(name: "TileEmulator", dependencies: ["Platform", "Tile", "TileGPU"]),

        // Arrays and what a device must do for them; a target for each kind of device, and one that records; and all
        // of these together. Then the catalogue of operations.
        .target(name: "LigerArrays", dependencies: ["Tile"]),
        .target(
            name: "LigerCPU", dependencies: ["Platform", "Tile", "TileCPU", "CVector", "LigerArrays"]),
        // What drivers of GPUs share; then each maker's.
        .target(name: "LigerGPU", dependencies: ["Platform", "Tile", "TileGPU", "LigerArrays"]),
        .target(name: "CCUDA"),
        .target(
            name: "LigerCUDA",
            dependencies: ["Platform", "Tile", "TileGPU", "TilePTX", "CCUDA", "LigerArrays", "LigerGPU"]),
        .target(name: "CHIP"),
        .target(
            name: "LigerHIP",
            dependencies: ["Platform", "Tile", "TileGPU", "TileLLVM", "CHIP", "LigerArrays", "LigerGPU"]),
        .target(name: "LigerRecording", dependencies: ["Tile", "LigerArrays"]),
        .target(
            name: "LigerRuntime",
            dependencies: [
                "Tile", "LigerArrays", "LigerCPU", "LigerGPU", "LigerCUDA", "LigerHIP", "LigerRecording",
            ]),
        // What ranks exchange arrays through: NCCL, or memory that processes of the host share.
        .target(name: "CNCCL"),
        .target(
            name: "LigerCollectives",
            dependencies: ["Platform", "Tile", "CNCCL", "LigerGPU", "LigerRuntime"]),
        .target(name: "LigerKernels", dependencies: ["Platform", "Tile", "LigerRuntime"]),
        .target(name: "LigerLosses", dependencies: ["Platform", "LigerKernels"]),
        // The C interface, for Python: one dynamic library, whose header is liger.h.
        .target(name: "CLigerABI"),
        .target(name: "CGlibc"),
        .target(
            name: "LigerABI",
            dependencies: ["CLigerABI", "LigerLosses", "LigerKernels", "LigerRuntime", "Tile"]),
        // What the command line lists, checks and times.
        .target(
            name: "LigerCatalogue",
            dependencies: ["Platform", "LigerABI", "LigerLosses", "CVector", "TileGPU"]),

        // The trainer around them.
        .target(
            name: "LigerNN",
            dependencies: ["Platform", "Tile", "LigerRuntime", "LigerKernels", "LigerLosses"]),
        .target(name: "LigerText", dependencies: ["Platform"]),
        .target(
            name: "LigerModels",
            dependencies: ["Platform", "LigerNN", "LigerKernels", "LigerRuntime", "LigerText", "Tile"]),
        .target(
            name: "LigerTrainer",
            dependencies: [
                "Platform", "LigerModels", "LigerNN", "LigerLosses", "LigerKernels", "LigerCollectives",
                "LigerRuntime", "LigerText", "Tile",
            ]),
        // The options of a command from a YAML file; the executable alone has it.
        .target(name: "LigerRunFile", dependencies: ["Platform", yams]),
        .executableTarget(
            name: "liger",
            dependencies: [
                "Platform", "LigerRunFile", "LigerTrainer", "LigerNN", "LigerCatalogue", "LigerRuntime",
                "Tile", "TileGPU",
                "TileLLVM", "TilePTX",
                argumentParser,
            ]),

        // Programs that the documentation shows: they see what users of the package see.
        .executableTarget(
            name: "KernelExample", dependencies: ["LigerRuntime", "Tile"],
            path: "Examples/KernelPackage/Sources/KernelExample", packageAccess: false),
        .target(
            name: "ExampleKernels", dependencies: ["Tile"],
            path: "Examples/KernelPackage/Sources/ExampleKernels", packageAccess: false),
        .testTarget(
            name: "ExampleKernelsTests", dependencies: ["ExampleKernels", "LigerRuntime", "Tile"],
            path: "Examples/KernelPackage/Tests/ExampleKernelsTests", packageAccess: false),
        .executableTarget(
            name: "LossExample", dependencies: ["LigerLosses", "LigerRuntime"],
            path: "Examples/Swift/LossExample", packageAccess: false),
        .executableTarget(
            name: "FineTuneExample", dependencies: ["LigerTrainer"],
            path: "Examples/Swift/FineTuneExample", packageAccess: false),

        // What tests share: seeded numbers, error measures, temporary folders, Python, a GPU that is none. Tests lie
        // as the sources do.
        .target(
            name: "TestSupport",
            dependencies: [
                "FakeCUDA", "FakeHIP", "LigerCPU", "LigerModels", "LigerRuntime", "Tile", "TileEmulator",
                "TileGPU", "TileLLVM",
            ],
            path: "Tests/TestSupport"),
        // A driver, a cuBLASLt, a cuDNN and an NCCL in plain C, which tests load in the place of NVIDIA's.
        .target(name: "FakeCUDA", dependencies: ["CCUDA", "CNCCL"], path: "Tests/FakeCUDA"),
        // The same of AMD's.
        .target(name: "FakeHIP", dependencies: ["CHIP", "FakeCUDA", "CNCCL"], path: "Tests/FakeHIP"),
        .testTarget(name: "TileTests", dependencies: ["Tile"]),
        .testTarget(name: "CVectorTests", dependencies: ["CVector", "TestSupport", "Tile"]),
        .testTarget(name: "TileCPUTests", dependencies: ["Tile", "LigerRuntime", "TestSupport"]),
        .testTarget(
            name: "TileGPUTests",
            dependencies: [
                "TestSupport", "TileGPU", "TilePTX", "TileEmulator", "LigerCatalogue", "LigerLosses",
            ]),
        .testTarget(
            name: "TilePTXTests",
            dependencies: ["TestSupport", "TileGPU", "TilePTX", "LigerCatalogue", "LigerLosses"]),
        .testTarget(
            name: "TileLLVMTests",
            dependencies: [
                "Tile", "TileGPU", "TileLLVM", "LigerRuntime", "LigerCatalogue", "LigerKernels",
                "LigerLosses",
            ]),
        .testTarget(name: "LigerArraysTests", dependencies: ["LigerRuntime", "Tile", "TestSupport"]),
        .testTarget(name: "LigerCPUTests", dependencies: ["Platform", "LigerRuntime", "TestSupport"]),
        .testTarget(
            name: "LigerCUDATests",
            dependencies: ["Platform", "LigerRuntime", "Tile", "FakeCUDA", "TestSupport"]),
        .testTarget(
            name: "LigerHIPTests",
            dependencies: [
                "FakeCUDA", "FakeHIP", "LigerCatalogue", "LigerCollectives", "LigerKernels", "LigerLosses",
                "LigerNN", "LigerRuntime", "LigerTrainer", "TestSupport", "Tile", "TileLLVM",
            ]),
        .testTarget(
            name: "LigerCollectivesTests",
            dependencies: ["CNCCL", "FakeCUDA", "LigerCollectives", "LigerRuntime", "Tile", "TestSupport"]),
        .testTarget(
            name: "LigerRecordingTests",
            dependencies: ["LigerRuntime", "LigerNN", "Tile", "FakeCUDA", "TestSupport"]),
        .testTarget(
            name: "LigerKernelsTests",
            dependencies: ["LigerKernels", "LigerLosses", "LigerCatalogue", "FakeCUDA", "TestSupport"]),
        .testTarget(
            name: "LigerLossesTests",
            dependencies: ["LigerLosses", "LigerKernels", "LigerCatalogue", "FakeCUDA", "TestSupport"]),
        .testTarget(name: "LigerABITests", dependencies: ["LigerABI", "CLigerABI"]),
        .testTarget(name: "LigerCatalogueTests", dependencies: ["LigerCatalogue", "TestSupport"]),
        .testTarget(
            name: "LigerNNTests",
            dependencies: [
                "LigerNN", "LigerKernels", "LigerRuntime", "LigerCPU", "Tile", "FakeCUDA", "TestSupport",
            ]),
        .testTarget(name: "LigerTextTests", dependencies: ["LigerText", "TestSupport"]),
        .testTarget(
            name: "LigerModelsTests",
            dependencies: [
                "LigerModels", "LigerNN", "LigerKernels", "LigerRuntime", "LigerText", "Tile", "FakeCUDA",
                "TestSupport",
            ]),
        .testTarget(name: "LigerRunFileTests", dependencies: ["LigerRunFile", "TestSupport"]),
        // Some of these run the executable.
        .testTarget(
            name: "LigerTrainerTests",
            dependencies: [
                "CNCCL", "LigerTrainer", "LigerCollectives", "LigerModels", "LigerNN", "LigerLosses",
                "LigerRuntime", "LigerText", "Tile", "FakeCUDA", "TestSupport", "liger",
            ]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)

for target in package.targets where target.name != "CVector" {
    target.swiftSettings = strict
}

// The largest tests, which compute in what they test and not themselves: to optimise them takes longer than they run.
// Packages that depend on this one have nothing of them, so that SwiftPM takes it with these flags.
for target in package.targets where ["LigerModelsTests", "LigerTrainerTests"].contains(target.name) {
    target.swiftSettings = strict + [.unsafeFlags(["-Onone"], .when(configuration: .release))]
}
