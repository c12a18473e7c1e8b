// swift-tools-version: 6.2
import PackageDescription

// What a package of your own needs, as KernelPackage does. The path is that of a clone of swift-liger.
let package = Package(
    name: "Examples",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "swift-liger", path: "../..")],
    targets: [
        .executableTarget(
            name: "LossExample",
            dependencies: [.product(name: "LigerKernels", package: "swift-liger")],
            path: "LossExample"),
        .executableTarget(
            name: "FineTuneExample",
            dependencies: [.product(name: "LigerTrainer", package: "swift-liger")],
            path: "FineTuneExample"),
    ]
)
